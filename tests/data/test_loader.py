"""Batches are a pure function of the step, however the rows are split."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nanochat_framework.config.phases import Phase
from nanochat_framework.data.loader import IGNORED_TARGET, EvaluationBatches, PrefetchLoader, batch, fill_rows
from nanochat_framework.data.plan import LoaderPlan, TokenStream
from nanochat_framework.errors import UsageError

TOKENS = np.arange(1001, dtype=np.uint32)
STARTS = np.array([0, 3, 4, 30, 100, 101, 102, 400])


def plain(
    seq_len: int, batch_size: int, accumulation: int = 1, world_size: int = 1, seed: int = 0, n_tokens: int = 1001
) -> LoaderPlan:
    """One source, one phase."""
    phase = Phase(0, 100, seq_len, batch_size, accumulation)
    return LoaderPlan([TokenStream("numbers", TOKENS[:n_tokens])], [phase], seed=seed, world_size=world_size)


def places(plan: LoaderPlan, step: int, micro: int = 0, rank: int = 0) -> list[int]:
    """First position of each row."""
    return [pieces[0][0] for _, pieces in plan.rows(step, micro, rank)]


@settings(max_examples=50)
@given(
    seq_len=st.integers(1, 50),
    rows=st.sampled_from([(12, 1, 1), (4, 3, 1), (6, 2, 2), (4, 3, 2), (4, 3, 4), (1, 12, 1), (1, 12, 4), (12, 1, 6)]),
    step=st.integers(0, 300),
    seed=st.integers(0, 5),
)
def test_a_step_has_the_same_rows_however_they_are_split(
    seq_len: int, rows: tuple[int, int, int], step: int, seed: int
) -> None:
    """Any micro-batch size, any number of processes; no process takes more than batch_size rows at a time."""
    batch_size, accumulation, world = rows
    plan = plain(seq_len, batch_size, accumulation, world, seed)
    parts = [places(plan, step, m, r) for m in range(plan.micro_batches(step)) for r in range(world)]
    assert sorted(place for part in parts for place in part) == sorted(places(plain(seq_len, 12, seed=seed), step))
    assert max(map(len, parts)) <= batch_size
    assert len({sum(map(len, parts[rank::world])) for rank in range(world)}) == 1, "ranks have equal shares"


def test_rows_that_cannot_be_shared_evenly_are_refused() -> None:
    with pytest.raises(UsageError, match="6 sequences .* which 4 processes cannot share evenly"):
        plain(10, 3, accumulation=2, world_size=4)


@settings(max_examples=30)
@given(seq_len=st.integers(1, 60), seed=st.integers(0, 3), batch_size=st.integers(1, 7), n_tokens=st.integers(61, 300))
def test_an_epoch_predicts_every_token_once(seq_len: int, seed: int, batch_size: int, n_tokens: int) -> None:
    """The tail included, which is the last row of an epoch and padded."""
    plan = plain(seq_len, batch_size, seed=seed, n_tokens=n_tokens)
    n_rows = -(-(n_tokens - 1) // seq_len)
    batches = [batch(plan, step) for step in range(-(-2 * n_rows // batch_size))]
    targets = torch.cat([made.targets for made in batches])[: 2 * n_rows]
    for epoch in targets.split(n_rows):
        assert sorted(epoch[epoch != IGNORED_TARGET].tolist()) == list(range(1, n_tokens))


def test_the_order_of_a_plain_training_is_fixed() -> None:
    """Runs that were started with an earlier version go on with the same data."""
    plan = plain(10, 7, seed=3)
    order = np.random.Generator(np.random.PCG64([3, 0])).permutation(100)
    assert [place for step in range(14) for place in places(plan, step)] == (10 * order[:98]).tolist()
    assert plain(10, 100, seed=3).rows(1) == [
        (0, [(10 * int(window), 10)]) for window in np.random.Generator(np.random.PCG64([3, 1])).permutation(100)
    ]


def test_epochs_differ_and_seeds_differ() -> None:
    plan = plain(10, 100)
    assert places(plan, 0) != places(plan, 1)
    assert places(plan, 0) != places(plain(10, 100, seed=1), 0)
    assert (plan.epochs(0), plan.epochs(1), plan.rows_before(2)) == ([0.0], [1.0], [200])


def test_targets_are_the_next_tokens() -> None:
    made = batch(plain(10, 4), 3)
    assert made.tokens.shape == made.targets.shape == (4, 10)
    assert made.tokens.dtype == torch.int64
    assert torch.equal(made.targets, made.tokens + 1)
    assert made.documents is None


@pytest.mark.parametrize("start", [0, 1, 7, 250])
def test_resuming_anywhere_gives_the_same_batches(start: int) -> None:
    plan = plain(7, 3, accumulation=2)
    loader = PrefetchLoader(plain(7, 3, accumulation=2), start_step=start)
    try:
        for step in range(start, start + 3):
            for micro, got in enumerate(loader.next()):
                expected = batch(plan, step, micro)
                assert torch.equal(got.tokens, expected.tokens)
                assert torch.equal(got.targets, expected.targets)
    finally:
        loader.close()
        loader.close()


def test_too_few_tokens() -> None:
    with pytest.raises(UsageError, match="numbers: 5 tokens are too few for one sequence of data.seq_len=8"):
        plain(8, 1, n_tokens=5)


@settings(max_examples=100)
@given(
    starts=st.sets(st.integers(1, 59)),
    pieces=st.lists(st.tuples(st.integers(0, 40), st.integers(1, 18)), min_size=1, max_size=3),
)
def test_rows_that_keep_documents_apart(starts: set[int], pieces: list[tuple[int, int]]) -> None:
    """Against the definition, position by position."""
    stream = TokenStream("numbers", TOKENS[:60], np.array([0, *sorted(starts)]))
    made = fill_rows([(stream, pieces)], 60, apart=True)
    expected, document = [], -1
    for first, count in pieces:
        for position in range(first, first + count):
            document += position == first or position in starts
            expected.append((position, IGNORED_TARGET if position + 1 in starts else position + 1, document))
    padding = (0, IGNORED_TARGET, document + 1)
    expected += [padding] * (60 - len(expected))
    assert made.documents is not None
    found = zip(made.tokens[0].tolist(), made.targets[0].tolist(), made.documents.ids[0].tolist(), strict=True)
    assert list(found) == expected


@settings(max_examples=50)
@given(n=st.integers(2, 200), seq_len=st.integers(1, 40), batch_size=st.integers(1, 5))
def test_evaluation_predicts_every_token_once(n: int, seq_len: int, batch_size: int) -> None:
    batches = list(EvaluationBatches(TOKENS[:n], seq_len=seq_len, batch_size=batch_size, max_batches=None))
    predicted = torch.cat([made.targets[made.targets != IGNORED_TARGET] for made in batches])
    assert predicted.tolist() == list(range(1, n))
    limited = list(EvaluationBatches(TOKENS[:n], seq_len=seq_len, batch_size=batch_size, max_batches=1))
    assert len(limited) == 1
    assert torch.equal(limited[0].tokens, batches[0].tokens)


def test_evaluation_that_keeps_documents_apart() -> None:
    """Everything but the first token of each document."""
    batches = list(EvaluationBatches(TOKENS, seq_len=16, batch_size=3, max_batches=None, starts=STARTS))
    predicted = torch.cat([made.targets[made.targets != IGNORED_TARGET] for made in batches])
    assert predicted.tolist() == [token for token in range(1001) if token not in STARTS]
    assert all(made.documents is not None for made in batches)
