"""Runs and checkpoints of models with fresh weights, without a training."""

from __future__ import annotations

import json
from pathlib import Path

from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.contracts.model import LanguageModel
from nanochat_framework.model.build import build_model
from nanochat_framework.model.parameters import named_parameters
from nanochat_framework.runs.checkpoint_store import CheckpointStore
from nanochat_framework.training.checkpoint import save_tensors
from tests.exporters.models import small_tokenizer


def write_checkpoint(root: Path, name: str, config: RunConfig, *, seed: int = 0, step: int = 3) -> LanguageModel:
    """A whole checkpoint of a model with fresh weights, as training writes it."""
    model = build_model(config.model, config.quantizer, seed=seed).eval()

    def write(folder: Path) -> None:
        save_tensors({p.name: p.tensor.detach() for p in named_parameters(model)}, folder / "model.safetensors")
        meta = {"schema_version": 1, "config": config.to_dict(), "step": step, "tokens": 100 * step}
        (folder / "meta.json").write_text(json.dumps(meta))
        (folder / "tokenizer.json").write_text(small_tokenizer().to_json())

    root.parent.mkdir(parents=True, exist_ok=True)  # the run's folder, which a store does not make
    CheckpointStore(root).write(name, write)
    return model


def make_run(path: Path, config: RunConfig | None = None) -> Path:
    """A run's folder, with a final checkpoint if there is a configuration for it; returns its path."""
    path.mkdir(parents=True)
    (path / "run.json").write_text("{}")
    if config is not None:
        write_checkpoint(path / "checkpoints", "final", config)
    return path
