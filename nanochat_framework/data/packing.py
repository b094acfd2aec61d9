"""What an epoch visits once each: blocks of token positions, as a stream's windows or as packed documents.

A position p stands for the pair (token p, token p + 1): what is read and what is predicted. A piece is (first, count):
positions first ... first + count - 1. A row of a batch is a list of pieces of at most seq_len positions together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Piece = tuple[int, int]

GROUP = 4096
"""Documents of like difficulty that are packed among themselves, where a curriculum orders rows by difficulty."""


@dataclass(frozen=True, eq=False)
class Blocks:
    """A source cut into blocks of at most `size` positions; every position that can be predicted is in one of them.

    `first` and `count` (pieces,) int64; block b has the pieces begin[b] ... begin[b + 1] - 1. The first `n_shuffled` blocks
    are visited in any order; a stream's short last window comes at the end of an epoch.
    """

    size: int
    first: np.ndarray
    count: np.ndarray
    begin: np.ndarray
    n_shuffled: int

    def __len__(self) -> int:
        return len(self.begin) - 1

    @property
    def positions(self) -> int:
        """Positions in an epoch."""
        return int(self.count.sum())

    def pieces(self, block: int) -> list[Piece]:
        """The pieces of a block."""
        inside = slice(int(self.begin[block]), int(self.begin[block + 1]))
        return list(zip(self.first[inside].tolist(), self.count[inside].tolist(), strict=True))

    def rows(self, seq_len: int) -> np.ndarray:
        """(blocks,) int64: the rows of seq_len positions that each block makes."""
        if seq_len >= self.size:
            return np.ones(len(self), dtype=np.int64)
        if len(self.first) == len(self):
            return -(-self.count // seq_len)
        return np.array([len(rows_of(self.pieces(block), seq_len)) for block in range(len(self))], dtype=np.int64)

    def mean_scores(self, starts: np.ndarray, scores: np.ndarray, n_tokens: int) -> np.ndarray:
        """(blocks,) float64: the mean of its documents' scores, by positions, for each block.

        `starts` and `scores` (documents,) belong to the documents of the `n_tokens` tokens.
        """
        edges = np.append(starts, n_tokens).astype(np.float64)
        up_to = np.append(0.0, np.cumsum(np.diff(edges) * scores))
        of_pieces = np.interp(self.first + self.count, edges, up_to) - np.interp(self.first, edges, up_to)
        sums, counts = (np.add.reduceat(values, self.begin[:-1]) for values in (of_pieces, self.count))
        return np.asarray(sums / counts)


def stream_blocks(n_tokens: int, size: int) -> Blocks:
    """Windows of a token stream one after another; the last one holds what is left over."""
    first = np.arange(0, n_tokens - 1, size, dtype=np.int64)
    count = np.minimum(size, n_tokens - 1 - first)
    return Blocks(size, first, count, np.arange(len(first) + 1), (n_tokens - 1) // size)


def document_blocks(starts: np.ndarray, n_tokens: int, size: int, scores: np.ndarray | None = None) -> Blocks:
    """Whole documents packed into blocks by best fit; a document longer than a block is cut into windows first.

    No position is predicted from one document into the next: a document of n tokens has n - 1 positions. With `scores`
    documents share a block with others that are about as difficult.

    Args:
        starts: (documents,) int64, the first token of each; tokens before the first one are a document too.
        n_tokens: tokens in all.
        size: positions in a block.
        scores: (documents,) difficulty.
    """
    counts = np.diff(np.append(starts, n_tokens)) - 1
    order = np.arange(len(starts)) if scores is None else np.argsort(scores, kind="stable")
    group = len(order) if scores is None else GROUP
    rows = []
    for begin in range(0, len(order), max(group, 1)):
        chosen = [int(document) for document in order[begin : begin + group] if counts[document] > 0]
        rows += rows_of([(int(starts[document]), int(counts[document])) for document in chosen], size)
    pieces = np.array([piece for row in rows for piece in row], dtype=np.int64).reshape(-1, 2)
    begin_of = np.append(0, np.cumsum([len(row) for row in rows])).astype(np.int64)
    return Blocks(size, pieces[:, 0].copy(), pieces[:, 1].copy(), begin_of, len(rows))


def rows_of(pieces: Sequence[Piece], seq_len: int) -> list[list[Piece]]:
    """Rows of at most seq_len positions: long pieces cut into windows, what is left of them packed by best fit."""
    if sum(count for _, count in pieces) <= seq_len:
        return [list(pieces)] if pieces else []
    rows, rests = [], []
    for first, count in pieces:
        whole, rest = divmod(count, seq_len)
        rows += [[(first + window * seq_len, seq_len)] for window in range(whole)]
        if rest:
            rests.append((first + whole * seq_len, rest))
    return rows + [[rests[index] for index in row] for row in best_fit([count for _, count in rests], seq_len)]


def joined(pieces: Sequence[Piece]) -> list[Piece]:
    """The same positions in as few pieces as possible, in order."""
    result: list[Piece] = []
    for first, count in sorted(pieces):
        if result and sum(result[-1]) == first:
            result[-1] = (result[-1][0], result[-1][1] + count)
        else:
            result.append((first, count))
    return result


def best_fit(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Pack by best fit, longest first: each goes where the least room is left over (Johnson 1973: at most 11/9 of the
    fewest rows, and some). Returns the indices in each row, ascending; no length may exceed the capacity.
    """
    rows: list[list[int]] = []
    open_rows: dict[int, list[int]] = {}  # by the room they have
    rooms = 0  # bit r: there is a row with room for r
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        length = lengths[index]
        fitting = rooms >> length
        if fitting:
            room = length + (fitting & -fitting).bit_length() - 1
            row = open_rows[room].pop()
            if not open_rows[room]:
                rooms ^= 1 << room
        else:
            room, row = capacity, len(rows)
            rows.append([])
        rows[row].append(index)
        if room > length:
            open_rows.setdefault(room - length, []).append(row)
            rooms |= 1 << (room - length)
    return [sorted(row) for row in rows]
