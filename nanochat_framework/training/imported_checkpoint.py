"""Writes a model that came from a file as a checkpoint, so that every command takes it as one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from nanochat_framework.config.toml_text import toml_table
from nanochat_framework.contracts.exporter import ModelBundle
from nanochat_framework.errors import UsageError
from nanochat_framework.runs.checkpoint_store import CheckpointStore
from nanochat_framework.training.checkpoint import META, MODEL, SCHEMA_VERSION, origin_of, save_tensors

STARTER = "model.toml"
"""The `[model]` table and `train.init_from`, for a configuration to extend."""


def write_imported(bundle: ModelBundle, folder: Path) -> list[str]:
    """Write `model.safetensors`, `meta.json`, `tokenizer.json`, `model.toml` and a manifest; returns the names written.

    Weights are float32; codes become the numbers they stand for, and no quantizer is kept: quantising those numbers
    anew would find other scales. Raises UsageError if the folder exists or cannot be made.
    """
    if folder.exists():
        raise UsageError(f"{folder}: exists already; name a folder that does not")
    if not folder.parent.is_dir():
        raise UsageError(f"{folder}: the folder {folder.parent} does not exist")
    tensors = {name: t if isinstance(t, Tensor) else t.dequantize() for name, t in bundle.tensors.items()}
    meta = {
        "schema_version": SCHEMA_VERSION,
        "step": bundle.metadata.get("step", 0),
        "tokens": bundle.metadata.get("tokens", 0),
        "config": {"model": bundle.model.to_dict()},
        "imported": origin_of(bundle),
    }

    def fill(target: Path) -> None:
        save_tensors(tensors, target / MODEL)
        (target / META).write_text(json.dumps(meta, indent=1, sort_keys=True) + "\n")
        (target / STARTER).write_text(_starter(bundle.model.to_dict(), folder), encoding="utf-8")
        if bundle.tokenizer is not None:
            (target / "tokenizer.json").write_text(bundle.tokenizer.to_json(), encoding="utf-8")

    CheckpointStore(folder.parent).write(folder.name, fill, step=int(meta["step"]))
    return sorted(entry.name for entry in folder.iterdir())


def _starter(model: dict[str, Any], folder: Path) -> str:
    train = toml_table("[train]", {"init_from": str(folder.absolute())})
    return "\n".join([toml_table("[model]", model), train])
