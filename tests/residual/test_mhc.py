"""Mixed streams: the equations, what the start must be like, and that the mixing never magnifies."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import permutations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.data.loader import Batch
from nanochat_framework.model.describe import Place
from nanochat_framework.training.train_module import TrainModule
from nanochat_residual.config import MhcConfig
from nanochat_residual.mhc import ManifoldHyperConnections, build_mhc
from tests.laws.combinations import random_tokens

PLACE = Place("residual.", dim=8, n_layers=3, max_seq_len=16)
CONFIGS = [
    MhcConfig(streams=streams, dynamic=dynamic, order=order)
    for streams in (2, 4)
    for dynamic in (False, True)
    for order in ("mix_then_add", "add_then_mix")
]


def _drawn(config: MhcConfig) -> ManifoldHyperConnections:
    """With random weights, so that no symmetry hides a mistake."""
    residual = build_mhc(config, place=PLACE)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in residual.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return residual


def _by_hand(residual: ManifoldHyperConnections, streams: torch.Tensor, sublayer: int) -> list[torch.Tensor]:
    """p, q and H of one position's streams (n, dim), from the papers' equations."""
    logits = [residual.read_weight[sublayer], residual.write_weight[sublayer], residual.mixing_weight[sublayer]]
    if residual.dynamic:
        flat = streams.flatten()
        content = residual.projection_weight[sublayer] @ (flat / (flat.square().mean() + 1e-6).sqrt())
        parts = content.split([len(part) for part in logits])
        gates = residual.gates_weight[sublayer]
        logits = [constant + gate * part for constant, gate, part in zip(logits, gates, parts, strict=True)]
    read, write = torch.sigmoid(logits[0]), 2 * torch.sigmoid(logits[1])
    if residual.streams == 2:
        keep = torch.sigmoid(logits[2])[0]
        mixing = torch.stack([torch.stack([keep, 1 - keep]), torch.stack([1 - keep, keep])])
    else:
        mixing = torch.zeros(4, 4)
        for weight, order in zip(torch.softmax(logits[2], dim=0), permutations(range(4)), strict=True):
            for row, column in enumerate(order):
                mixing[row, column] += weight
    return [read, write, mixing]


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_reading_and_writing_are_the_equations(config: MhcConfig) -> None:
    residual = _drawn(config)
    x, y = torch.randn(2, 2, 3, 8, generator=torch.Generator().manual_seed(2))
    state = residual.open(x)
    state = residual.write(state, (residual.read(state, 0), y)[1], 0)  # the streams differ from here on
    before = state.streams
    read = residual.read(state, 4)
    after = residual.write(state, y, 4)
    for batch in range(2):
        for position in range(3):
            streams = before[:, batch, position]
            p, q, mixing = _by_hand(residual, streams, 4)
            torch.testing.assert_close(read[batch, position], p @ streams, rtol=1e-5, atol=1e-6)
            spread = torch.outer(q, y[batch, position])
            mix_first = config.order == "mix_then_add"
            expected = mixing @ streams + spread if mix_first else mixing @ (streams + spread)
            torch.testing.assert_close(after.streams[:, batch, position], expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(residual.close(after), after.streams.mean(dim=0))


@pytest.mark.parametrize("streams", [2, 4])
def test_the_start_is_near_the_plain_residual_and_not_symmetric(streams: int) -> None:
    residual = build_mhc(MhcConfig(streams=streams), place=PLACE)
    writes = 2 * torch.sigmoid(residual.write_weight)
    torch.testing.assert_close(writes.mean(dim=1), torch.ones(6))
    assert torch.equal(writes.argmax(dim=1), torch.arange(6) % streams)
    mixing = residual.mixing_matrix(residual.mixing_weight)
    assert (mixing.diagonal(dim1=1, dim2=2) > 0.85).all()
    state = residual.open(torch.ones(1, 1, 8))
    residual.read(state, 0)
    state = residual.write(state, torch.ones(1, 1, 8), 0)
    assert not torch.allclose(state.streams[0], state.streams[1]), "equal streams would stay equal for ever"


@given(st.lists(st.floats(-30, 30), min_size=24, max_size=24))
def test_mixing_is_doubly_stochastic(logits: list[float]) -> None:
    for streams, n_mixing in ((2, 1), (4, 24)):
        residual = build_mhc(MhcConfig(streams=streams), place=PLACE)
        mixing = residual.mixing_matrix(torch.tensor(logits[:n_mixing]))
        assert (mixing >= 0).all()
        torch.testing.assert_close(mixing.sum(dim=0), torch.ones(streams), rtol=0, atol=1e-5)
        torch.testing.assert_close(mixing.sum(dim=1), torch.ones(streams), rtol=0, atol=1e-5)
        assert torch.linalg.matrix_norm(mixing, ord=2) <= 1 + 1e-5


def test_the_composite_gain_counts_the_write_strengths() -> None:
    """Without writing it is that of the mixing, 1; with writing it grows."""
    residual = build_mhc(MhcConfig(), place=PLACE)
    grown = residual.composite_gain()
    with torch.no_grad():
        residual.write_weight.fill_(-30.0)
    assert float(residual.composite_gain()) == pytest.approx(1.0, abs=1e-5)
    assert grown > 2.0


def test_readings_are_taken_where_they_are_logged(tiny_config: Callable[..., RunConfig]) -> None:
    config = tiny_config(model__residual={"name": "mhc"}, train__log_every=3)
    module = TrainModule(config, torch.device("cpu"))
    tokens = random_tokens(4, 17)
    batch = Batch(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous())
    results = [module.step([batch, batch], step) for step in (2, 3)]
    assert results[0].readings == {}
    names = {f"{reading}.{s}" for reading in ("stream_divergence", "write_strength", "residual_rms") for s in range(4)}
    assert set(results[1].readings) == {*names, "composite_gain"}
    assert all(math.isfinite(value) and value > 0 for value in results[1].readings.values())
