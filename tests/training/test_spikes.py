"""Steps that stand out are skipped; a level that lasts is accepted."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.data.loader import Batch
from nanochat_framework.training.spikes import SpikeGuard
from nanochat_framework.training.train_module import TrainModule
from tests.laws.combinations import random_tokens

LOSSES = st.lists(st.floats(0.0, 20.0), max_size=40)


def _calm(guard: SpikeGuard, steps: int, level: float = 3.0) -> None:
    for step in range(steps):
        assert not guard.is_spike(level + 0.01 * (-1) ** step, 1.0 + 0.01 * (-1) ** step)


@pytest.mark.parametrize(("loss", "norm"), [(30.0, 1.0), (3.0, 30.0)])
def test_a_loss_or_norm_far_above_the_last_ones_is_a_spike(loss: float, norm: float) -> None:
    guard = SpikeGuard(6.0, 16)
    _calm(guard, 16)
    assert guard.is_spike(loss, norm)
    assert not guard.is_spike(1.0, 0.1), "below is no spike"


def test_nothing_is_judged_before_half_a_window_is_known() -> None:
    guard = SpikeGuard(6.0, 16)
    _calm(guard, 7)
    assert not guard.is_spike(1000.0, 1000.0)


def test_a_new_level_is_accepted_after_a_while() -> None:
    guard = SpikeGuard(6.0, 16)
    _calm(guard, 16)
    assert not all(guard.is_spike(5.0, 2.0) for _ in range(16))


@given(LOSSES, st.integers(0, 40))
def test_resuming_from_a_state_judges_alike(losses: list[float], cut: int) -> None:
    whole, first = SpikeGuard(1.0, 8), SpikeGuard(1.0, 8)
    verdicts = [whole.is_spike(loss, 1.0) for loss in losses]
    again = [first.is_spike(loss, 1.0) for loss in losses[:cut]]
    second = SpikeGuard(1.0, 8)
    second.load_state(json.loads(json.dumps(first.state())))
    assert again + [second.is_spike(loss, 1.0) for loss in losses[cut:]] == verdicts


def test_a_spike_changes_no_weight(tiny_config: Callable[..., RunConfig]) -> None:
    config = tiny_config(train__spike_sigma=6.0, train__spike_window=4)
    module = TrainModule(config, torch.device("cpu"))
    tokens = random_tokens(4, 17)
    batch = Batch(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous())
    for step in range(1, 5):
        assert module.step([batch], step).skipped == ""
    weights = {p.name: p.tensor.detach().clone() for p in module.parameters}
    hook = module.model.final_norm.register_forward_hook(lambda *call: call[2] * 50)
    result = module.step([batch], 5)
    hook.remove()
    assert result.skipped == "spike"
    assert math.isfinite(result.total_loss)
    assert all(torch.equal(p.tensor, weights[p.name]) for p in module.parameters)
