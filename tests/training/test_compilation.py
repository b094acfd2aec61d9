"""Compiled parts learn what eager ones learn."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import torch

from nanochat_framework.cli import main
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.data.loader import Batch
from nanochat_framework.errors import UsageError
from nanochat_framework.model.documents import Documents
from nanochat_framework.training.train_module import TrainModule
from tests.compiling import needs_compiler
from tests.conftest import tiny_dict
from tests.laws.combinations import changes, random_tokens

Make = Callable[..., RunConfig]
CPU = torch.device("cpu")


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("quantizer", ["float", "ternary"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_compiled_training_is_eager_training(
    tiny_config: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, precision: str, quantizer: str
) -> None:
    """Plain SGD-like AdamW and few steps: rounding differs in the last bits, and ternary codes magnify it."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    adamw = [{"match": "*", "name": "adamw", "lr": 1e-3}]
    results = []
    for compiled in (False, True):
        config = tiny_config(
            **changes("gqa-swiglu-tied", quantizer),
            optimizer=adamw,
            train__precision=precision,
            train__compile=compiled,
        )
        module = TrainModule(config, CPU)
        losses = []
        for step in range(1, 6):
            tokens = random_tokens(4, 17, seed=step % 2)
            losses.append(
                module.step([Batch(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous())], step).losses["loss"]
            )
        results.append(losses)
    assert results[1] == pytest.approx(results[0], abs=1e-4 if precision == "fp32" and quantizer == "float" else 2e-2)
    assert results[1][-1] < results[1][0] - 0.02, "stale weights would not learn"


def test_without_a_compiler_it_is_refused(tiny_config: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UsageError, match="needs a C\\+\\+ compiler"):
        TrainModule(tiny_config(train__compile=True), CPU)


def test_selective_checkpointing_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "tiny.toml"
    path.write_text(tomli_w.dumps(tiny_dict(train__compile=True, train__activation_checkpointing="selective")))
    assert main(["config", "check", str(path)]) == 2
    assert 'train.activation_checkpointing: cannot be "selective" with compile = true' in capsys.readouterr().err


@pytest.mark.slow
@needs_compiler
def test_compiled_parts_keep_documents_apart(
    tiny_config: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Documents of other lengths need no compiling anew."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    eager, compiled = (
        TrainModule(tiny_config(**changes("gqa-swiglu-tied"), train__compile=on), CPU).model for on in (False, True)
    )
    for seed in range(3):
        ids = random_tokens(2, 40, vocab_size=2, seed=seed).cumsum(dim=1)
        tokens = random_tokens(2, 40, seed=seed)
        with torch._dynamo.config.patch(error_on_recompile=seed > 1):
            found, expected = (model.hidden(tokens, documents=Documents(ids)) for model in (compiled, eager))
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize(
    "quantizer",
    [
        {"name": "fp8"},
        {"name": "fp8", "format": "e5m2", "activation_bits": 0},
        {"name": "int4", "scale": "learned"},
        {"name": "ternary", "group_size": 32, "scale": "learned", "warmup": {"steps": 2}},
        {"name": "int8", "activation_bits": 8, "warmup": {"start_step": 1, "steps": 3}},
    ],
    ids=["fp8", "fp8-weights", "learned", "learned-warming-up", "warming-up"],
)
def test_every_rounding_trains_compiled_as_it_does_eagerly(
    tiny_config: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, quantizer: dict[str, Any]
) -> None:
    """Through the end of a warm-up, where compiled code is made anew; learned scales and the average move as well."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    steps, losses, modules = 4, [], []
    for compiled in (False, True):
        config = tiny_config(
            **{**changes("gqa-swiglu-tied"), "quantizer": [{"match": "matrix", **quantizer}]},
            optimizer=[{"match": "*", "name": "adamw", "lr": 1e-3}],
            train__compile=compiled,
            train__ema_decay=0.5,
        )
        module = TrainModule(config, CPU)
        modules.append(module)
        for step in range(1, steps + 1):
            tokens = random_tokens(4, 17, seed=step % 2)
            batch = Batch(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous())
            losses.append(module.step([batch], step).losses["loss"])
    assert losses[steps:] == pytest.approx(losses[:steps], abs=2e-3)
    averages = [module.average for module in modules]
    assert averages[0] is not None and averages[1] is not None
    for name, eager in averages[0].tensors.items():
        torch.testing.assert_close(averages[1].tensors[name], eager, rtol=0, atol=2.1e-3, msg=name)
    scales = [p for p in modules[1].parameters if p.role == "quantizer_scale"]
    assert bool(scales) == ("scale" in quantizer)
    assert all(parameter.tensor.grad is not None and parameter.tensor.grad.any() for parameter in scales)
