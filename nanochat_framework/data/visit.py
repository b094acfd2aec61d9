"""The way through one source in one phase of training: which positions its first, second, ... row has.

An epoch visits every block once. A phase with shorter rows than a block's size makes several rows of each block, and
mixes them among themselves; the next phase goes on in the same epoch with what is left, the rest of a block that the
former phase had begun included. So no position is visited twice in an epoch, or not at all, whatever the phases do.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from nanochat_framework.data.packing import Blocks, Piece, joined, rows_of


@dataclass(frozen=True, eq=False)
class Standing:
    """How far a source has been visited: the epoch, its blocks that are not begun (None: all), the rest of one block."""

    epoch: int = 0
    left: np.ndarray | None = None
    rest: tuple[Piece, ...] = ()


@dataclass(frozen=True, eq=False)
class _Part:
    """The rows of (what is left of) one epoch: rows `rest`, then the rows of the blocks in `order`.

    `ends` (blocks,) counts the rows up to and with each block of the order; `mixed` (rows,) exchanges rows, or is None.
    """

    rest: list[list[Piece]]
    order: np.ndarray
    ends: np.ndarray
    mixed: np.ndarray | None

    @property
    def n_rows(self) -> int:
        return len(self.rest) + (int(self.ends[-1]) if len(self.ends) else 0)

    def place(self, row: int) -> tuple[int, int]:
        """(place in the order, number of the row within that block), for a row after those of `rest`."""
        row -= len(self.rest)
        place = int(np.searchsorted(self.ends, row, side="right"))
        return place, row - (int(self.ends[place - 1]) if place else 0)


class Visit:
    """Rows 0, 1, 2, ... of a source in a phase; pure in its arguments, and any row is found at once."""

    def __init__(
        self,
        blocks: Blocks,
        seq_len: int,
        standing: Standing,
        *,
        seed: int,
        source: int,
        phase: int,
        scores: np.ndarray | None = None,
    ) -> None:
        """
        Args:
            blocks: what an epoch visits.
            seq_len: positions in a row.
            standing: where the former phase has left the source.
            seed: with the numbers of epoch, source and phase it decides the order.
            source: number of the source.
            phase: number of the phase.
            scores: (blocks,) difficulty; if given, an epoch goes from easy to difficult.
        """
        self._blocks, self._seq_len, self._standing, self._scores = blocks, seq_len, standing, scores
        self._seed, self._source, self._phase = seed, source, phase
        self.wanted: int | None = None
        """Rows that the phase takes; they are mixed among themselves. Set it before asking for a row."""
        self._counts = blocks.rows(seq_len)
        self._rest = rows_of(standing.rest, seq_len)
        left = self._counts if standing.left is None else self._counts[standing.left]
        self._first_rows = len(self._rest) + int(left.sum())
        self._epoch_rows = int(self._counts.sum())
        self._part = lru_cache(maxsize=2)(self._make_part)

    def rows_until(self, epochs: int) -> int:
        """Rows there are until so many epochs are complete, counted from the start of training."""
        whole = epochs - self._standing.epoch
        return self._first_rows + (whole - 1) * self._epoch_rows if whole > 0 else 0

    def row(self, number: int) -> list[Piece]:
        """The pieces of a row."""
        index, within = self._find(number)
        part = self._part(index)
        if part.mixed is not None and within < len(part.mixed):
            within = int(part.mixed[within])
        if within < len(part.rest):
            return part.rest[within]
        place, row = part.place(within)
        return rows_of(self._blocks.pieces(int(part.order[place])), self._seq_len)[row]

    def epochs(self, number: int) -> float:
        """Epochs that are done before a row, the last one in part."""
        index, within = self._find(number)
        if index:
            return self._standing.epoch + index + within / self._epoch_rows
        done = max(0.0, 1 - self._first_rows / self._epoch_rows)
        return self._standing.epoch + done + (1 - done) * within / max(self._first_rows, 1)

    def after(self, rows: int) -> Standing:
        """Where the source stands after so many rows, which are all that were `wanted`."""
        index, within = self._find(rows)
        epoch = self._standing.epoch + index
        if not within:
            return self._standing if not index else Standing(epoch)
        part = self._part(index)
        if within < len(part.rest):
            return Standing(epoch, part.order, _rest(part.rest[within:]))
        place, row = part.place(within)
        if not row:
            return Standing(epoch, part.order[place:])
        begun = rows_of(self._blocks.pieces(int(part.order[place])), self._seq_len)
        return Standing(epoch, part.order[place + 1 :], _rest(begun[row:]))

    def _find(self, number: int) -> tuple[int, int]:
        """(epochs after the standing's, row within that epoch)."""
        if number < self._first_rows:
            return 0, number
        whole, within = divmod(number - self._first_rows, self._epoch_rows)
        return whole + 1, within

    def _make_part(self, index: int) -> _Part:
        epoch = self._standing.epoch + index
        order = self._order(epoch)
        if index == 0 and self._standing.left is not None:
            is_left = np.zeros(len(self._blocks), dtype=bool)
            is_left[self._standing.left] = True
            order = order[is_left[order]]
        rest = [] if index else self._rest
        part = _Part(rest, order, np.cumsum(self._counts[order]), None)
        if self._scores is not None or part.n_rows == len(order):
            return part
        return _Part(part.rest, order, part.ends, self._mixed(index, epoch, part.n_rows))

    def _order(self, epoch: int) -> np.ndarray:
        """(blocks,) int64: the order of a whole epoch. Blocks of equal difficulty stand in the order of chance."""
        n, n_shuffled = len(self._blocks), self._blocks.n_shuffled
        order = np.append(_generator(self._seed, epoch, self._source).permutation(n_shuffled), np.arange(n_shuffled, n))
        return order if self._scores is None else order[np.argsort(self._scores[order], kind="stable")]

    def _mixed(self, index: int, epoch: int, n_rows: int) -> np.ndarray:
        """An order of the rows of an epoch that the phase takes, where a block makes several."""
        if self.wanted is not None:
            before = self._first_rows + (index - 1) * self._epoch_rows if index else 0
            n_rows = max(0, min(n_rows, self.wanted - before))
        return _generator(self._seed, epoch, self._source, 1 + self._phase).permutation(n_rows)


def _generator(*key: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(list(key)))


def _rest(rows: list[list[Piece]]) -> tuple[Piece, ...]:
    return tuple(joined([piece for row in rows for piece in row]))
