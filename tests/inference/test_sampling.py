"""Sampling: which tokens may be drawn, how often, and that a seed repeats."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nanochat_framework.errors import NanochatError
from nanochat_framework.inference.sampling import Sampler, candidates
from nanochat_framework.inference.settings import GenerationSettings, SamplingSettings, SettingError

LOGITS = st.lists(st.floats(-20, 20, width=32), min_size=1, max_size=50).map(
    lambda values: torch.tensor(values, dtype=torch.float32)
)
TEMPERATURES = st.floats(0.05, 5)


@given(LOGITS)
@settings(deadline=None)
def test_greedy_takes_the_most_likely_and_the_first_of_equals(logits: Tensor) -> None:
    token = Sampler(SamplingSettings(temperature=0)).draw(logits)
    assert logits[token] == logits.max()
    assert (logits[:token] < logits.max()).all()


@given(LOGITS, TEMPERATURES)
@settings(deadline=None)
def test_without_limits_probabilities_are_the_softmax(logits: Tensor, temperature: float) -> None:
    scores, ids = candidates(logits, SamplingSettings(temperature=temperature))
    assert ids.tolist() == list(range(len(logits)))
    torch.testing.assert_close(torch.softmax(scores, 0), torch.softmax(logits / temperature, 0), rtol=1e-4, atol=1e-6)


@given(LOGITS, st.integers(1, 60), TEMPERATURES)
@settings(deadline=None)
def test_top_k_keeps_the_k_most_likely(logits: Tensor, k: int, temperature: float) -> None:
    _, ids = candidates(logits, SamplingSettings(temperature=temperature, top_k=k))
    kept = set(ids.tolist())
    assert len(kept) == len(ids) == min(k, len(logits))
    left_out = [float(logits[i]) for i in range(len(logits)) if i not in kept]
    assert not left_out or max(left_out) <= min(float(logits[i]) for i in kept)


@given(LOGITS, st.floats(0.01, 1), TEMPERATURES)
@settings(deadline=None)
def test_top_p_keeps_the_smallest_set_that_reaches_p(logits: Tensor, p: float, temperature: float) -> None:
    _, ids = candidates(logits, SamplingSettings(temperature=temperature, top_p=p))
    probabilities = torch.softmax((logits / temperature).double(), 0)
    kept = probabilities[ids]
    assert kept.sum() >= p - 1e-5
    assert len(kept) == 1 or len(kept) == len(logits) or kept.sum() - kept.min() < p + 1e-5
    assert (
        kept.min() >= torch.tensor([q for i, q in enumerate(probabilities) if i not in set(ids.tolist())] + [0.0]).max()
    )


@given(LOGITS, st.integers(0, 60), st.floats(0.01, 1), TEMPERATURES, st.integers(0, 2**63 - 1))
@settings(max_examples=50, deadline=None)
def test_draws_come_from_the_candidates_and_repeat(
    logits: Tensor, k: int, p: float, temperature: float, seed: int
) -> None:
    sampling = SamplingSettings(temperature=temperature, top_k=k, top_p=p, seed=seed)
    allowed = set(candidates(logits, sampling)[1].tolist())
    first, second = Sampler(sampling), Sampler(sampling)
    draws = [first.draw(logits) for _ in range(5)]
    assert set(draws) <= allowed
    assert [second.draw(logits) for _ in range(5)] == draws


def test_frequencies_are_the_probabilities() -> None:
    logits = torch.tensor([0.0, math.log(2), math.log(3), math.log(4)])
    sampler = Sampler(SamplingSettings(temperature=1, top_k=3, seed=3))
    n = 4000
    counts = torch.bincount(torch.tensor([sampler.draw(logits) for _ in range(n)]), minlength=4)
    assert counts[0] == 0
    expected = torch.tensor([2, 3, 4]) / 9
    errors = (counts[1:] / n - expected) / (expected * (1 - expected) / n).sqrt()
    assert errors.abs().max() < 5  # standard errors


def test_the_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    Sampler(SamplingSettings(seed=5)).draw(torch.randn(10, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("temperature", [1e-9, 1e-300])
def test_a_tiny_temperature_is_greedy(temperature: float) -> None:
    assert Sampler(SamplingSettings(temperature=temperature)).draw(torch.tensor([1.0, 3.0, 2.0])) == 1


@pytest.mark.parametrize("logits", [[float("nan"), 1.0], [float("inf"), 1.0], [-float("inf")] * 2])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_damaged_logits_are_one_line(logits: list[float], temperature: float) -> None:
    with pytest.raises(NanochatError, match="not numbers"):
        Sampler(SamplingSettings(temperature=temperature)).draw(torch.tensor(logits))


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *(("temperature", value) for value in (-1, float("nan"), float("inf"), "hot", True, None)),
        *(("top_p", value) for value in (0, 1.1, float("nan"))),
        *(("min_p", value) for value in (-0.1, 1, float("nan"))),
        *(("top_k", value) for value in (-1, 1.5)),
        *(("seed", value) for value in (-1, 2**63, 0.5)),
        *(("repetition_penalty", value) for value in (0, -1, float("inf"))),
        *(("presence_penalty", value) for value in (-2.1, 2.1)),
        *(("frequency_penalty", value) for value in (-2.1, 2.1, float("nan"))),
        *(("logit_bias", value) for value in ({1: 101}, {-1: 1}, {"x": 1}, {1: None})),
    ],
)
def test_meaningless_settings_are_named(setting: str, value: Any) -> None:
    with pytest.raises(SettingError, match=rf"^{setting} must be ") as raised:
        SamplingSettings(**{setting: value})
    assert raised.value.setting == setting and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("setting", "value"), [("max_tokens", 0), ("max_tokens", 1.5), ("logprobs", -1), ("stop", ("a", ""))]
)
def test_meaningless_generation_settings_are_named(setting: str, value: Any) -> None:
    with pytest.raises(SettingError, match=f"^{setting} must"):
        GenerationSettings(**{setting: value})
