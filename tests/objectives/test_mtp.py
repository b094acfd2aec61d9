"""Multi-token prediction against each head's cross-entropy on the whole logits; and what becomes of its heads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import tomli_w
import torch
from safetensors.torch import load_file
from torch.nn import functional

from nanochat_framework.cli import main
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.data.loader import IGNORED_TARGET
from nanochat_framework.runs.metrics import read_metrics
from nanochat_framework.training.train_module import TrainModule
from tests.conftest import tiny_dict

Make = Callable[..., RunConfig]


def _expected(module: TrainModule, tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean over valid positions of Σ_i max(0.5^i, 0.01) · CE, position by position, never past an ignored target."""
    objective = module.objectives["mtp"]
    hidden = module.model.hidden(tokens)
    total = torch.zeros(())
    for i, head in enumerate(objective.heads):  # type: ignore[arg-type]
        logits = module.model.logits(hidden + head(hidden)) if objective.tied else head(hidden)
        for row in range(tokens.shape[0]):
            for t in range(tokens.shape[1] - i - 1):
                if IGNORED_TARGET not in targets[row, t : t + i + 2]:
                    target = targets[row, t + i + 1]
                    total = total + max(0.5**i, 0.01) * functional.cross_entropy(logits[row, t], target)
    return total / (targets != IGNORED_TARGET).sum()


@pytest.mark.parametrize("heads", ["own", "tied"])
@pytest.mark.parametrize("n_future_tokens", [2, 4, 12])
def test_loss_and_gradients(tiny_config: Make, heads: str, n_future_tokens: int) -> None:
    objective = [{"name": "mtp", "heads": heads, "n_future_tokens": n_future_tokens, "weight": 0.3}]
    config = tiny_config(quantizer=[], objective=objective, train__loss_chunk=7)
    module = TrainModule(config, torch.device("cpu"))
    tokens, targets = torch.randint(97, (2, 3, 9), generator=torch.Generator().manual_seed(0))
    targets[0, 2:5] = IGNORED_TARGET
    expected = _expected(module, tokens, targets)
    plain = functional.cross_entropy(module.model(tokens).flatten(0, 1), targets.flatten())
    tensors = [p.tensor for p in module.parameters]
    wanted = torch.autograd.grad(plain + 0.3 * expected, tensors, allow_unused=True)
    counts = {name: float(count) for name, count in module.head_loss.counts(targets).items()}
    sums = module.head_loss.backward(module.model.hidden(tokens), targets, counts)
    torch.testing.assert_close(sums["mtp"] / counts["mtp"], expected.detach(), rtol=1e-5, atol=1e-6)
    for parameter, gradient in zip(module.parameters, wanted, strict=True):
        found = parameter.tensor.grad
        if gradient is None or not gradient.any():  # heads that look beyond the row
            assert found is None or not found.any()
        else:
            torch.testing.assert_close(found, gradient, rtol=1e-4, atol=1e-6)


def test_heads_are_trained_kept_and_left_behind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, runs = tmp_path / "mtp.toml", ["--runs-dir", str(tmp_path)]
    config.write_text(tomli_w.dumps(tiny_dict(objective=["mtp"], checkpoint={"every": 3})))
    assert main(["train", str(config), "--run", "first", "--quiet", *runs]) == 0
    first, last = (
        load_file(tmp_path / f"first/checkpoints/{name}/objectives.safetensors") for name in ("step_00000003", "final")
    )
    assert set(first) == {f"objective.mtp.heads.{i}.weight" for i in range(3)}
    assert all(not torch.equal(first[name], last[name]) for name in first)
    losses = [record["train/mtp"] for record in read_metrics(tmp_path / "first/metrics.jsonl")]
    assert main(["resume", "first", "--from", "step_00000003", "--quiet", *runs]) == 0
    assert [record["train/mtp"] for record in read_metrics(tmp_path / "first/metrics.jsonl")] == losses
    gguf = tmp_path / "first.gguf"
    assert main(["export", "first", "--to", "gguf", "--output", str(gguf), "--check", *runs]) == 0
    assert "mtp" not in capsys.readouterr().out
