"""Sampling against transformers' processors, put in the order that `SamplingSettings` documents (vLLM's)."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from nanochat_framework.errors import UsageError
from nanochat_framework.inference.logprobs import drawn_logprob
from nanochat_framework.inference.sampling import Penalties, Sampler, candidates
from nanochat_framework.inference.settings import SamplingSettings

process = pytest.importorskip("transformers.generation.logits_process")

SIZE = 40
SEEDS = st.integers(0, 2**32)
TEMPERATURES = st.floats(0.3, 3)
TOKENS = st.integers(0, SIZE - 1)


def scores_of(seed: int) -> Tensor:
    """(SIZE,) float32, no two equal."""
    return torch.randn(SIZE, generator=torch.Generator().manual_seed(seed)) * 3


def probabilities(scores: Tensor, sampling: SamplingSettings) -> Tensor:
    """(SIZE,): of each token; 0 for those that cannot be drawn."""
    kept, ids = candidates(scores, sampling)
    return torch.zeros(SIZE).index_put((ids,), torch.softmax(kept, 0))


def theirs(scores: Tensor, sampling: SamplingSettings) -> Tensor:
    """The same through transformers' warpers, in the documented order."""
    rows, ids = scores[None], torch.zeros(1, 1, dtype=torch.int64)
    rows = process.TemperatureLogitsWarper(sampling.temperature)(ids, rows)
    if sampling.min_p:
        rows = process.MinPLogitsWarper(sampling.min_p)(ids, rows)
    if sampling.top_k:
        rows = process.TopKLogitsWarper(sampling.top_k)(ids, rows)
    if sampling.top_p < 1:
        rows = process.TopPLogitsWarper(sampling.top_p)(ids, rows)
    result: Tensor = torch.softmax(rows[0], 0)
    return result


@given(SEEDS, TEMPERATURES, st.integers(0, 50), st.floats(0.02, 1), st.floats(0, 0.9))
@settings(max_examples=200, deadline=None)
def test_filters_keep_the_same_tokens_with_the_same_probabilities(
    seed: int, temperature: float, top_k: int, top_p: float, min_p: float
) -> None:
    scores = scores_of(seed)
    sampling = SamplingSettings(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
    _assume_clear(scores, sampling)
    ours, expected = probabilities(scores, sampling), theirs(scores, sampling)
    assert ((ours > 0) == (expected > 0)).all()
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-7)


def _assume_clear(scores: Tensor, sampling: SamplingSettings) -> None:
    """That no token stands so near an edge that float32's rounding decides."""
    scaled = torch.softmax(scores / sampling.temperature, 0)
    assume(sampling.min_p == 0 or float((scaled / scaled.max() - sampling.min_p).abs().min()) > 1e-5)
    before = SamplingSettings(temperature=sampling.temperature, top_k=sampling.top_k, min_p=sampling.min_p)
    sums = candidates(scores, before)[0].sort(descending=True).values.softmax(0).cumsum(0)
    assume(sampling.top_p == 1 or float((sums - sampling.top_p).abs().min()) > 1e-5)
    assume(float(scaled.min()) > 1e-30)


def test_the_order_of_the_filters_matters_and_is_the_documented_one() -> None:
    scores = torch.tensor([0.5, 0.3, 0.1, 0.06, 0.04]).log()
    kept = candidates(scores, SamplingSettings(top_k=3, top_p=0.85))[1].tolist()
    assert kept == [0, 1]  # 0.5 and 0.3 of the 0.9 that top_k leaves reach 0.85; of all they would not
    kept = candidates(scores, SamplingSettings(min_p=0.15, top_p=0.85))[1].tolist()
    assert kept == [0, 1]  # as 0.06 and 0.04 were left out before
    kept = candidates(scores, SamplingSettings(temperature=0.5, min_p=0.15))[1].tolist()
    assert kept == [0, 1]  # 0.1 squared is less than 0.15 of 0.5 squared


@given(SEEDS, st.lists(TOKENS, max_size=12), st.lists(TOKENS, max_size=12), st.floats(0.2, 4))
@settings(deadline=None)
def test_repetition_penalty_is_transformers(seed: int, prompt: list[int], drawn: list[int], penalty: float) -> None:
    penalties = Penalties(SamplingSettings(repetition_penalty=penalty), prompt)
    scores = scores_of(seed)
    penalties.applied(scores)
    for token in drawn:
        penalties.count(token)
    expected = scores[None]
    if prompt or drawn:
        processor = process.RepetitionPenaltyLogitsProcessor(penalty)
        expected = processor(torch.tensor([prompt + drawn]), expected)
    torch.testing.assert_close(penalties.applied(scores), expected[0])


@given(SEEDS, st.dictionaries(TOKENS, st.floats(-100, 100).filter(lambda bias: abs(bias) > 1e-3), min_size=1))
@settings(deadline=None)
def test_logit_bias_is_transformers(seed: int, bias: dict[int, float]) -> None:
    scores = scores_of(seed)
    ours = Penalties(SamplingSettings(logit_bias=bias)).applied(scores)
    processor = process.SequenceBiasLogitsProcessor({(token,): value for token, value in bias.items()})
    torch.testing.assert_close(ours, processor(torch.zeros(1, 1, dtype=torch.int64), scores[None])[0])


@given(SEEDS, st.lists(TOKENS, max_size=20), st.floats(-2, 2), st.floats(-2, 2))
@settings(deadline=None)
def test_presence_and_frequency_are_openais_rule(
    seed: int, drawn: list[int], presence: float, frequency: float
) -> None:
    scores = scores_of(seed)
    settings = SamplingSettings(presence_penalty=presence, frequency_penalty=frequency)
    assume(settings.changes_scores)
    penalties = Penalties(settings, prompt=[1, 2, 3])
    before = penalties.applied(scores)
    assert torch.equal(before, scores)  # the prompt does not count
    for token in drawn:
        penalties.count(token)
    expected = [
        float(score) - drawn.count(token) * frequency - (token in drawn) * presence
        for token, score in enumerate(scores)
    ]
    torch.testing.assert_close(penalties.applied(scores), torch.tensor(expected), rtol=1e-5, atol=1e-5)


def test_penalties_come_before_the_greedy_choice_and_grow_with_it() -> None:
    scores = torch.tensor([3.0, 2.5, 1.0])
    sampler = Sampler(SamplingSettings(temperature=0, frequency_penalty=1.0))
    assert [sampler.draw(scores) for _ in range(6)] == [0, 1, 0, 1, 0, 2]
    biased = Sampler(SamplingSettings(temperature=0, logit_bias={0: -100, 2: 100}))
    assert biased.draw(scores) == 2
    before = Sampler(SamplingSettings(temperature=0, repetition_penalty=2.0), prompt=[0, 7])  # 7: a row without token
    assert [before.draw(scores) for _ in range(2)] == [1, 0]
    assert scores.tolist() == [3.0, 2.5, 1.0]


def test_a_bias_past_the_vocabulary_is_one_line() -> None:
    with pytest.raises(UsageError, match="no token 3; the vocabulary has 3"):
        Sampler(SamplingSettings(logit_bias={3: 1.0})).draw(torch.zeros(3))


@given(SEEDS, TOKENS, st.integers(0, 60))
@settings(deadline=None)
def test_logprobs_are_the_models_own(seed: int, token: int, n_top: int) -> None:
    scores = scores_of(seed)
    drawn = drawn_logprob(scores, token, n_top)
    expected = scores.double() - scores.double().exp().sum().log()
    assert drawn.token == token and math.isclose(drawn.logprob, float(expected[token]), rel_tol=1e-5, abs_tol=1e-5)
    order = expected.argsort(descending=True).tolist()[:n_top]
    assert [each.token for each in drawn.top] == order
    assert all(math.isclose(each.logprob, float(expected[each.token]), abs_tol=1e-5) for each in drawn.top)
