"""Compiled parts learn what eager ones learn."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import tomli_w
import torch

from nanochat_framework.cli import main
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.data.loader import Batch
from nanochat_framework.errors import UsageError
from nanochat_framework.model.documents import Documents
from nanochat_framework.training.train_module import TrainModule
from tests.conftest import tiny_dict
from tests.laws.combinations import changes, random_tokens

Make = Callable[..., RunConfig]
CPU = torch.device("cpu")


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="compiling for the CPU needs g++")
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
@pytest.mark.skipif(not shutil.which("g++"), reason="compiling for the CPU needs g++")
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
