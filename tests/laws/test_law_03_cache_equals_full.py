"""Law 3: decoding step by step equals the full forward; a reused prefix gives what a fresh one gives."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.contracts.model import LanguageModel
from nanochat_framework.model.build import build_model
from tests.laws.combinations import COMBINATIONS, changes, random_tokens

LENGTH = 23


def _in_pieces(model: LanguageModel, tokens: Tensor, sizes: list[int]) -> Tensor:
    states = model.new_states(tokens.shape[0])
    return torch.cat([model(piece, states=states) for piece in tokens.split(sizes, dim=1)], dim=1)


@torch.no_grad()
def expect_pieces_to_equal_the_whole(config: RunConfig, of_the_range: float) -> None:
    """Where activations are rounded to 8 bits, a last-place difference of a sum may move one to its neighbour."""
    model = build_model(config.model, config.quantizer).eval()
    tokens = random_tokens(2, LENGTH)
    pieces = _in_pieces(model, tokens, [10, 1, 1, 11])
    assert (pieces - model(tokens)).abs().max() < of_the_range * pieces.abs().max()


@pytest.fixture(params=COMBINATIONS)
def model(request: pytest.FixtureRequest, tiny_config: Callable[..., RunConfig]) -> LanguageModel:
    config = tiny_config(**changes(request.param))
    return build_model(config.model).eval()


@torch.no_grad()
def test_pieces_equal_the_whole(model: LanguageModel) -> None:
    tokens = random_tokens(2, LENGTH)
    full = model(tokens)
    for sizes in ([1] * LENGTH, [10, 1, 1, 11], [22, 1]):
        torch.testing.assert_close(_in_pieces(model, tokens, sizes), full, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("combination", COMBINATIONS)
def test_pieces_equal_the_whole_when_quantised(tiny_config: Callable[..., RunConfig], combination: str) -> None:
    expect_pieces_to_equal_the_whole(tiny_config(**changes(combination, "ternary")), of_the_range=0.05)


@torch.no_grad()
def test_a_reused_prefix_equals_a_fresh_one(model: LanguageModel) -> None:
    prefix, first, second = random_tokens(2, 9), random_tokens(2, 5, seed=1), random_tokens(2, 5, seed=2)
    states = model.new_states(2)
    model(prefix, states=states)
    snapshots = [state.snapshot() for state in states]
    forks = [state.fork() for state in states]
    after_first = model(first, states=states)
    for state, snapshot in zip(states, snapshots, strict=True):
        state.restore(snapshot)
    reused, forked = model(second, states=states), model(second, states=forks)
    fresh = model(torch.cat((prefix, second), dim=1))[:, 9:]
    torch.testing.assert_close(reused, fresh, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(forked, fresh, rtol=1e-4, atol=1e-5)
    assert (after_first - fresh).abs().max() > 1e-3


@torch.no_grad()
def test_rewind_or_refuse(model: LanguageModel) -> None:
    tokens = random_tokens(1, 12)
    states = model.new_states(1)
    model(tokens, states=states)
    for state in states:
        if state.can_rewind:
            state.rewind(8)
            assert state.length == 8
        else:
            with pytest.raises(RuntimeError, match="cannot rewind"):
                state.rewind(8)
    if all(state.can_rewind for state in states):
        again = model(tokens[:, 8:], states=states)
        torch.testing.assert_close(again, model(tokens)[:, 8:], rtol=1e-4, atol=1e-5)
