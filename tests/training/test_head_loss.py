"""The chunked loss against torch's own cross-entropy on the whole logits."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.model.build import build_model
from nanochat_framework.training.head_loss import IGNORED_TARGET, HeadLoss
from tests.laws.combinations import changes, random_tokens


@pytest.mark.parametrize("combination", ["gqa-swiglu-tied", "mha-relu2-untied"])
@pytest.mark.parametrize("chunk_rows", [1, 5, 32, 1000])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_gradients_equal_the_whole_logits(
    tiny_config: Callable[..., RunConfig], combination: str, chunk_rows: int, precision: str
) -> None:
    config = tiny_config(**changes(combination))
    tokens = random_tokens(2, 17)
    targets = tokens[:, 1:].clone()
    targets[0, :4] = IGNORED_TARGET
    models = [build_model(config.model, precision=precision) for _ in range(2)]
    whole, chunked = models
    loss = functional.cross_entropy(whole(tokens[:, :-1]).flatten(0, 1), targets.flatten(), ignore_index=IGNORED_TARGET)
    loss.backward()
    head = HeadLoss(chunked, {}, chunk_rows)
    counts = {name: float(value) for name, value in head.counts(targets).items()}
    sums = head.backward(chunked.hidden(tokens[:, :-1]), targets, counts)
    assert counts["loss"] == 28
    assert float(sums["loss"]) / 28 == pytest.approx(float(loss.detach()), rel=1e-5)
    tolerance = {"rtol": 1e-4, "atol": 1e-6} if precision == "fp32" else {"rtol": 5e-2, "atol": 2e-3}
    for (name, expected), actual in zip(whole.named_parameters(), chunked.parameters(), strict=True):
        torch.testing.assert_close(actual.grad, expected.grad, msg=lambda m, n=name: f"{n}: {m}", **tolerance)


@settings(max_examples=20, deadline=None)
@given(chunk_rows=st.integers(1, 40), ignored=st.sets(st.integers(0, 31), max_size=31))
def test_token_losses_do_not_depend_on_the_chunk(chunk_rows: int, ignored: set[int]) -> None:
    model = _Head()
    hidden = torch.randn(2, 16, 8, generator=torch.Generator().manual_seed(0))
    targets = random_tokens(2, 16, vocab_size=11)
    targets.view(-1)[list(ignored)] = IGNORED_TARGET
    losses = HeadLoss(model, {}, chunk_rows).token_losses(hidden, targets)  # type: ignore[arg-type]
    expected = functional.cross_entropy(
        model.logits(hidden).flatten(0, 1), targets.flatten(), reduction="none", ignore_index=IGNORED_TARGET
    )
    torch.testing.assert_close(losses, expected.view(2, 16))


def test_nothing_to_predict_is_no_division_by_zero(tiny_config: Callable[..., RunConfig]) -> None:
    model = build_model(tiny_config(**changes("gqa-swiglu-tied")).model)
    head = HeadLoss(model, {}, 8)
    targets = torch.full((1, 8), IGNORED_TARGET)
    sums = head.backward(model.hidden(random_tokens(1, 8)), targets, {"loss": 0.0})
    assert float(sums["loss"]) == 0.0
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


class _Head:
    """The part of a model that the loss needs."""

    def __init__(self) -> None:
        self.weight = torch.randn(11, 8, generator=torch.Generator().manual_seed(1))

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden @ self.weight.t()
