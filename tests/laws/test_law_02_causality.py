"""Law 2: changing token t+1 changes no logit at or before t, in training and in serving, for every mixer."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.model.build import build_model
from nanochat_framework.model.documents import Documents
from tests.laws.combinations import COMBINATIONS, QUANTIZERS, changes, random_tokens

LENGTH = 17


def expect_causality(config: RunConfig, mode: str) -> None:
    """Also what the product of all parts is held against."""
    model = build_model(config.model, config.quantizer).train(mode == "train")
    tokens = random_tokens(2, LENGTH)
    states = model.new_states(2) if mode == "serve" else None
    with torch.no_grad():
        original = model(tokens, states=states)
        for t in (0, 5, LENGTH - 2):
            changed = tokens.clone()
            changed[:, t + 1 :] = (changed[:, t + 1 :] + 1) % 97
            states = model.new_states(2) if mode == "serve" else None
            logits = model(changed, states=states)
            torch.testing.assert_close(logits[:, : t + 1], original[:, : t + 1], rtol=1e-5, atol=1e-5)
            assert (logits[:, t + 1] - original[:, t + 1]).abs().max() > 1e-3, "the change itself must show"


@pytest.mark.parametrize("quantizer", QUANTIZERS)
@pytest.mark.parametrize("combination", COMBINATIONS)
@pytest.mark.parametrize("mode", ["train", "serve"])
def test_the_future_does_not_reach_the_past(
    tiny_config: Callable[..., RunConfig], combination: str, quantizer: str, mode: str
) -> None:
    expect_causality(tiny_config(**changes(combination, quantizer)), mode)


@pytest.mark.parametrize("combination", COMBINATIONS)
def test_documents_do_not_see_each_other(tiny_config: Callable[..., RunConfig], combination: str) -> None:
    config = tiny_config(**changes(combination))
    model = build_model(config.model).eval()
    tokens, cut = random_tokens(1, 16), 9
    documents = Documents((torch.arange(16) >= cut).long()[None])
    other = tokens.clone()
    other[:, :cut] = (other[:, :cut] + 3) % 97
    with torch.no_grad():
        first, second = model(tokens, documents=documents), model(other, documents=documents)
    torch.testing.assert_close(first[:, cut:], second[:, cut:], rtol=1e-5, atol=1e-5)
    assert (first[:, :cut] - second[:, :cut]).abs().max() > 1e-3
