"""Law 6: n micro-batches of gradient accumulation equal one large batch, auxiliary heads included."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.data.loader import Batch
from nanochat_framework.training.head_loss import IGNORED_TARGET
from nanochat_framework.training.train_module import TrainModule
from tests.laws.combinations import changes, random_tokens

OBJECTIVES = [{"name": "z_loss", "weight": 0.01}, {"name": "probe/two_ahead"}, {"name": "mtp"}]


def _rows() -> tuple[torch.Tensor, torch.Tensor]:
    """8 sequences, some of whose targets count for nothing, unevenly over the rows."""
    tokens = random_tokens(8, 17)
    targets = tokens[:, 1:].clone()
    targets[0, 3:] = IGNORED_TARGET
    targets[5, :9] = IGNORED_TARGET
    return tokens[:, :-1].contiguous(), targets


def expect_accumulation_to_equal_one_batch(config: RunConfig, n_micro_batches: int) -> None:
    """Also what the product of all parts is held against."""
    tokens, targets = _rows()
    gradients, results = [], []
    for pieces in (1, n_micro_batches):
        module = TrainModule(config, torch.device("cpu"))
        batches = [Batch(x, y) for x, y in zip(tokens.chunk(pieces), targets.chunk(pieces), strict=True)]
        results.append(module.step(batches, 1))
        gradients.append({p.name: p.tensor.grad for p in module.parameters})
    whole, parts = gradients
    for name, gradient in whole.items():
        torch.testing.assert_close(parts[name], gradient, rtol=1e-4, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")
    terms = {"loss", *(objective.name for objective in config.objective)}
    assert {name for name in results[0].losses if not name.startswith("router")} == terms  # see the last test
    for name in terms:
        assert results[1].losses[name] == pytest.approx(results[0].losses[name], rel=1e-5)


@pytest.mark.parametrize("n_micro_batches", [2, 4, 8])
@pytest.mark.parametrize("combination", ["gqa-swiglu-tied", "mha-relu2-untied", "two-streams"])
@pytest.mark.parametrize("quantizer", ["float", "ternary"])
def test_accumulated_gradients_equal_one_batch(
    tiny_config: Callable[..., RunConfig], combination: str, quantizer: str, n_micro_batches: int
) -> None:
    config = tiny_config(**changes(combination, quantizer), objective=OBJECTIVES, train__loss_chunk=7)
    expect_accumulation_to_equal_one_batch(config, n_micro_batches)


def test_losses_are_weighted_by_valid_tokens(tiny_config: Callable[..., RunConfig]) -> None:
    """Held against torch's own cross-entropy on the whole logits."""
    config = tiny_config(**changes("gqa-swiglu-tied"), objective=[], train__loss_chunk=5)
    tokens, targets = _rows()
    module = TrainModule(config, torch.device("cpu"))
    with torch.no_grad():
        expected = torch.nn.functional.cross_entropy(
            module.model(tokens).flatten(0, 1), targets.flatten(), ignore_index=IGNORED_TARGET
        )
    result = module.step([Batch(x, y) for x, y in zip(tokens.chunk(4), targets.chunk(4), strict=True)], 1)
    assert result.losses["loss"] == pytest.approx(float(expected), rel=1e-5)


def test_router_losses_are_averaged_over_micro_batches(tiny_config: Callable[..., RunConfig]) -> None:
    """The documented exception: a batch-wide router loss is the mean over micro-batches, and is logged as such."""
    config = tiny_config(**changes("top2"))
    module = TrainModule(config, torch.device("cpu"))
    tokens, targets = _rows()
    result = module.step([Batch(x, y) for x, y in zip(tokens.chunk(2), targets.chunk(2), strict=True)], 1)
    assert result.losses["router_balance"] >= 1.0 - 1e-3  # E · Σ f p is 1 at perfect balance
    assert result.total_loss == pytest.approx(
        result.losses["loss"] + 2 * 0.01 * result.losses["router_balance"], rel=1e-5
    )
