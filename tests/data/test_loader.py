"""Batches are a pure function of the step, however the rows are split."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nanochat_framework.data.loader import IGNORED_TARGET, EvaluationBatches, LoaderPlan, PrefetchLoader, batch
from nanochat_framework.errors import UsageError

TOKENS = np.arange(1001, dtype=np.uint32)


@settings(max_examples=50, deadline=None)
@given(
    seq_len=st.integers(1, 50),
    sizes=st.sampled_from([(12, 1, 1), (6, 2, 1), (6, 2, 2), (1, 12, 1), (1, 12, 4), (12, 1, 4), (4, 3, 2), (4, 3, 6)]),
    step=st.integers(0, 300),
    seed=st.integers(0, 5),
)
def test_a_step_has_the_same_rows_however_they_are_split(
    seq_len: int, sizes: tuple[int, int, int], step: int, seed: int
) -> None:
    batch_size, accumulation, world = sizes
    plan = LoaderPlan(len(TOKENS), seq_len, batch_size, accumulation, world, seed)
    parts = [plan.windows(step, m, r) for m in range(plan.micro_batches) for r in range(world)]
    whole = LoaderPlan(len(TOKENS), seq_len, 12, seed=seed)
    assert sorted(window for part in parts for window in part) == sorted(whole.windows(step, 0, 0))
    assert max(map(len, parts)) <= batch_size
    assert len({sum(len(plan.windows(step, m, r)) for m in range(plan.micro_batches)) for r in range(world)}) == 1


def test_a_step_that_cannot_be_shared_evenly() -> None:
    with pytest.raises(UsageError, match="a step has 6 sequences .* which 4 processes cannot share evenly"):
        LoaderPlan(len(TOKENS), 10, 3, gradient_accumulation=2, world_size=4)


@settings(max_examples=30, deadline=None)
@given(seq_len=st.integers(1, 60), seed=st.integers(0, 3), batch_size=st.integers(1, 7))
def test_an_epoch_visits_every_window_once(seq_len: int, seed: int, batch_size: int) -> None:
    plan = LoaderPlan(len(TOKENS), seq_len, batch_size, seed=seed)
    steps = 2 * -(-plan.n_windows // batch_size)
    seen = [window for step in range(steps) for window in plan.windows(step, 0, 0)]
    for epoch in range(2):
        visited = seen[epoch * plan.n_windows : (epoch + 1) * plan.n_windows]
        assert sorted(visited) == list(range(plan.n_windows))


def test_epochs_differ_and_seeds_differ() -> None:
    plan = LoaderPlan(len(TOKENS), 10, 100)
    assert plan.windows(0, 0, 0) != plan.windows(1, 0, 0)
    assert plan.windows(0, 0, 0) != LoaderPlan(len(TOKENS), 10, 100, seed=1).windows(0, 0, 0)


def test_targets_are_the_next_tokens() -> None:
    made = batch(LoaderPlan(len(TOKENS), 10, 4), TOKENS, 3)
    assert made.tokens.shape == made.targets.shape == (4, 10)
    assert made.tokens.dtype == torch.int64
    assert torch.equal(made.targets, made.tokens + 1)


@pytest.mark.parametrize("start", [0, 1, 7, 250])
def test_resuming_anywhere_gives_the_same_batches(start: int) -> None:
    plan = LoaderPlan(len(TOKENS), 7, 3, gradient_accumulation=2)
    loader = PrefetchLoader(TOKENS, plan, start_step=start)
    try:
        for step in range(start, start + 3):
            for micro, got in enumerate(loader.next()):
                expected = batch(plan, TOKENS, step, micro)
                assert torch.equal(got.tokens, expected.tokens)
                assert torch.equal(got.targets, expected.targets)
    finally:
        loader.close()
        loader.close()


def test_too_few_tokens() -> None:
    with pytest.raises(UsageError, match="5 tokens are too few for one sequence of data.seq_len=8"):
        LoaderPlan(5, 8, 1)


@settings(max_examples=50, deadline=None)
@given(n=st.integers(2, 200), seq_len=st.integers(1, 40), batch_size=st.integers(1, 5))
def test_evaluation_predicts_every_token_once(n: int, seq_len: int, batch_size: int) -> None:
    batches = list(EvaluationBatches(TOKENS[:n], seq_len=seq_len, batch_size=batch_size, max_batches=None))
    predicted = torch.cat([made.targets[made.targets != IGNORED_TARGET] for made in batches])
    assert predicted.tolist() == list(range(1, n))
    limited = list(EvaluationBatches(TOKENS[:n], seq_len=seq_len, batch_size=batch_size, max_batches=1))
    assert len(limited) == 1
    assert torch.equal(limited[0].tokens, batches[0].tokens)
