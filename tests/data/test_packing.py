"""Blocks and rows hold every position once, within their size."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanochat_framework.data.packing import (
    Blocks,
    Piece,
    best_fit,
    document_blocks,
    joined,
    rows_of,
    stream_blocks,
)

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=40)


def positions(pieces: list[Piece]) -> list[int]:
    return [position for first, count in pieces for position in range(first, first + count)]


def all_pieces(blocks: Blocks) -> list[Piece]:
    return [piece for block in range(len(blocks)) for piece in blocks.pieces(block)]


def starts_of(lengths: list[int]) -> tuple[np.ndarray, int]:
    return np.cumsum([0, *lengths[:-1]]), sum(lengths)


@given(n=st.integers(2, 300), size=st.integers(1, 50))
def test_a_stream_loses_nothing(n: int, size: int) -> None:
    blocks = stream_blocks(n, size)
    assert positions(all_pieces(blocks)) == list(range(n - 1))
    assert blocks.count[: blocks.n_shuffled].tolist() == [size] * blocks.n_shuffled
    assert len(blocks) - blocks.n_shuffled in (0, 1)


@given(LENGTHS, st.integers(1, 30), st.booleans())
def test_documents_lose_nothing_and_predict_nothing_across(lengths: list[int], size: int, sort: bool) -> None:
    starts, n_tokens = starts_of(lengths)
    blocks = document_blocks(starts, n_tokens, size, np.array(lengths) if sort else None)
    last_tokens = {*(starts[1:] - 1).tolist(), n_tokens - 1}
    assert sorted(positions(all_pieces(blocks))) == [p for p in range(n_tokens) if p not in last_tokens]
    for block in range(len(blocks)):
        assert 0 < sum(count for _, count in blocks.pieces(block)) <= size


@given(LENGTHS, st.integers(1, 10), st.integers(1, 4))
def test_shorter_rows_of_a_block_hold_all_of_it(lengths: list[int], seq_len: int, times: int) -> None:
    starts, n_tokens = starts_of(lengths)
    for blocks in (document_blocks(starts, n_tokens, seq_len * times), stream_blocks(n_tokens + 1, seq_len * times)):
        counts = blocks.rows(seq_len)
        for block in range(len(blocks)):
            rows = rows_of(blocks.pieces(block), seq_len)
            assert len(rows) == counts[block]
            assert all(0 < sum(count for _, count in row) <= seq_len for row in rows)
            together = positions([piece for row in rows for piece in row])
            assert sorted(together) == sorted(positions(blocks.pieces(block)))


def test_whole_documents_stay_whole() -> None:
    starts, n_tokens = starts_of([30, 5, 12, 7, 60, 3])
    blocks = document_blocks(starts, n_tokens, 32)
    pieces = all_pieces(blocks)
    assert {(0, 29), (30, 4), (35, 11), (47, 6), (54, 32), (86, 27), (114, 2)} == set(pieces)
    assert len(blocks) == 4, "112 positions in rows of 32, one of them a window of the long document"


@given(st.lists(st.integers(1, 25), max_size=60))
def test_best_fit(lengths: list[int]) -> None:
    rows = best_fit(lengths, 25)
    assert sorted(index for row in rows for index in row) == list(range(len(lengths)))
    filled = [sum(lengths[index] for index in row) for row in rows]
    assert all(total <= 25 for total in filled)
    assert 9 * len(rows) <= 11 * -(-sum(lengths) // 25) + 9 * 6 or _lower_bound(lengths, 25) * 11 + 6 >= 9 * len(rows)


def _lower_bound(lengths: list[int], capacity: int) -> int:
    """Martello and Toth's bound: items over a half need a row each, and what does not fit beside them needs more."""
    best = -(-sum(lengths) // capacity)
    for small in range(capacity // 2 + 1):
        large = [n for n in lengths if n > capacity - small]
        middle = [n for n in lengths if capacity / 2 < n <= capacity - small]
        rest = [n for n in lengths if small <= n <= capacity / 2]
        room = len(middle) * capacity - sum(middle)
        best = max(best, len(large) + len(middle) + max(0, -(-(sum(rest) - room) // capacity)))
    return best


def test_packing_wastes_little() -> None:
    """Lengths as texts have them, log-normal around 300: under one percent of the rows is padding."""
    lengths = np.random.default_rng(0).lognormal(5.7, 1.0, size=5000).astype(int) + 2
    starts, n_tokens = starts_of(lengths.tolist())
    blocks = document_blocks(starts, n_tokens, 1024)
    assert blocks.positions == n_tokens - 5000
    assert blocks.positions / (len(blocks) * 1024) > 0.99


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 5)), max_size=10))
def test_joining(gaps: list[tuple[int, int]]) -> None:
    pieces, at = [], 0
    for gap, count in gaps:
        pieces.append((at + gap, count))
        at += gap + count
    together = joined(pieces[::-1])
    assert positions(together) == positions(pieces)
    assert all(sum(first) < second[0] for first, second in pairwise(together))


@settings(max_examples=50)
@given(LENGTHS, st.integers(1, 30), st.randoms(use_true_random=False))
def test_scores_of_blocks_are_means_over_positions(lengths: list[int], size: int, random: object) -> None:
    starts, n_tokens = starts_of(lengths)
    scores = np.random.default_rng(len(lengths)).normal(size=len(lengths))
    of_token = np.repeat(scores, lengths)
    for blocks in (stream_blocks(n_tokens + 1, size), document_blocks(starts, n_tokens, size)):
        if not len(blocks):
            continue
        found = blocks.mean_scores(starts, scores, n_tokens)
        expected = [of_token[positions(blocks.pieces(block))].mean() for block in range(len(blocks))]
        assert found == pytest.approx(expected, abs=1e-9)
