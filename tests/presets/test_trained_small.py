"""Every preset with small dimensions and all its components: it learns, resumes bit for bit, decodes and exports."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from nanochat_framework.cli import main
from nanochat_framework.config.load import load_config
from nanochat_framework.config.presets import preset_names
from nanochat_framework.inference.bundle import bundle_from, model_from_bundle
from nanochat_framework.plugins import Registry
from nanochat_framework.runs.metrics import read_metrics
from tests.exporters.models import corpus

STEPS, HALF = 50, 25
IN_EVERY_RUN = ("medium-3b-moe-mhc",)
"""It has the most kinds of parts; the others are slow tests."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data folder of real text, and one thread, with which small models are fastest."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "text.txt").write_text(corpus())
    command = ["prepare-data", "--text", str(folder / "text.txt"), "--vocab-size", "512"]
    assert main([*command, "--validation-fraction", "0", "--output", str(folder / "data")]) == 0
    before = torch.get_num_threads()
    yield folder / "data"
    torch.set_num_threads(before)


def smaller(name: str, registry: Registry, data: Path) -> list[str]:
    """`--set` for the same components with small dimensions, of training too."""
    config = load_config(name, registry=registry).config
    model, layers = config.model.config, 5 if config.model.config.attention.name == "hybrid" else 2
    sets: dict[str, Any] = {
        "model.dim": 64,
        "model.n_layers": layers,
        "model.vocab_size": 512,
        "model.max_seq_len": 64,
        "model.ffn.hidden_dim": 64,
        "data.source.path": str(data / "tokens.bin"),
        "data.seq_len": 48,
        "train.steps": STEPS,
        "train.batch_size": 4,
        "train.gradient_accumulation": 1,
        "train.precision": "fp32",
        "schedule.warmup_steps": 5,
        "eval.every": 0,
        "checkpoint.every": HALF,
        "hardware.device": "cpu",
        "hardware.threads": 1,
    }
    softmax = "model.attention.full" if model.attention.name == "hybrid" else "model.attention"
    sets |= {f"{softmax}.n_heads": 4, f"{softmax}.n_kv_heads": 2, f"{softmax}.head_dim": 16}
    if model.attention.name == "hybrid":
        sets |= {"model.attention.linear.n_heads": 2, "model.attention.linear.head_dim": 16}
    if getattr(model.ffn.config, "shared_hidden_dim", 0):
        sets["model.ffn.shared_hidden_dim"] = 64
    for number, rule in enumerate(config.optimizer[1:], 1):  # rates for large models would take long to show anything
        sets[f"optimizer.{number}.lr"] = max(rule.component.config.lr, 2e-3)
    sets |= {f"quantizer.{number}.group_size": 32 for number in range(len(config.quantizer))}
    sets |= {"optimizer.0.schedules.momentum.warmup_steps": 5} if "momentum" in config.optimizer[0].schedules else {}
    return [argument for key, value in sets.items() for argument in ("--set", f"{key}={json.dumps(value)}")]


@pytest.mark.parametrize(
    "name",
    [name if name in IN_EVERY_RUN else pytest.param(name, marks=pytest.mark.slow) for name in preset_names()],
)
def test_the_whole_way(name: str, registry: Registry, data: Path, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "r"
    where = ["--runs-dir", str(tmp_path / "runs")]
    assert main(["train", name, "--run", "r", "--quiet", *where, *smaller(name, registry, data)]) == 0
    _expect_learning(run)
    _expect_exact_resume(run, where)
    model = model_from_bundle(bundle_from(run, registry))
    _expect_cached_decoding(model)
    export = ["export", "r", *where, "--to", "gguf", "--output", str(tmp_path / "m.gguf"), "--check"]
    assert main(export) == 0


def _losses(run: Path) -> dict[int, float]:
    return {
        int(line["step"]): float(line["train/loss"])
        for line in read_metrics(run / "metrics.jsonl")
        if "train/loss" in line
    }


def _expect_learning(run: Path) -> None:
    """The mean of the last losses is well below the first."""
    losses = _losses(run)
    steps = sorted(losses)
    last = [losses[step] for step in steps[-3:]]
    assert sum(last) / len(last) < losses[steps[0]] - 0.5


def _expect_exact_resume(run: Path, where: list[str]) -> None:
    """As if the run had ended after half of its steps: the second half is the same again."""
    final = run / "checkpoints" / "final"
    expected = {path.name: path.read_bytes() for path in final.resolve().glob("*.safetensors")}
    assert expected
    kept = run / "checkpoints" / f"step_{HALF:08d}"
    for path in (run / "checkpoints").iterdir():
        if path != kept:
            path.unlink() if path.is_symlink() or path.is_file() else shutil.rmtree(path)
    assert main(["resume", "r", *where, "--quiet"]) == 0
    assert {path.name: path.read_bytes() for path in final.resolve().glob("*.safetensors")} == expected


@torch.no_grad()
def _expect_cached_decoding(model: Any) -> None:
    """Activations of 8 bits may flip at a last-place difference, as in law 3."""
    tokens = torch.randint(0, 512, (1, 24), generator=torch.Generator().manual_seed(0))
    states = model.new_states(1)
    pieces = torch.cat([model(piece, states=states) for piece in tokens.split([16, 1, 1, 6], dim=1)], dim=1)
    whole = model(tokens)
    assert (pieces - whole).abs().max() < 0.05 * whole.abs().max()
