"""Which source each row is from: shares kept at every moment, not only on average."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache

import numpy as np

MAX_PERIOD = 2**16
"""Rows after which the pattern repeats, at most; weights that need more are rounded to this many parts."""


class Mixture:
    """Rows 0, 1, 2, ... dealt out to sources in the ratio of their weights, without chance.

    After any number n of rows each source has had n · share rows give or take less than one (Tijdeman 1980, "The chairman
    assignment problem", Discrete Mathematics 32). Every question is answered in constant time.
    """

    def __init__(self, weights: Sequence[float]) -> None:
        """`weights` are not negative, one a source; 0 leaves a source out. Raises ValueError if all are 0."""
        self.parts = _parts(tuple(weights))
        self.period = sum(self.parts)
        self._sources, self._before, self._rows = _pattern(self.parts)

    def source(self, row: int) -> int:
        """The source of a row."""
        return int(self._sources[row % self.period])

    def count(self, source: int, rows: int) -> int:
        """How many of the first `rows` rows are from a source."""
        whole, rest = divmod(rows, self.period)
        return whole * self.parts[source] + int(self._before[source, rest])

    def row(self, source: int, number: int) -> int:
        """The row in which a source's row of that number (from 0) stands. The source must have a weight."""
        whole, rest = divmod(number, self.parts[source])
        return whole * self.period + int(self._rows[source][rest])


def _parts(weights: tuple[float, ...]) -> tuple[int, ...]:
    """Whole numbers in the ratio of the weights as they are written: 0.1 is one tenth."""
    exact = [Fraction(repr(weight)) for weight in weights]
    total = sum(exact)
    if total <= 0:
        raise ValueError("a mixture needs a weight above 0")
    common = math.lcm(*(weight.denominator for weight in exact))
    whole = [int(weight * common) for weight in exact]
    divisor = math.gcd(*whole)
    if sum(whole) // divisor <= MAX_PERIOD:
        return tuple(part // divisor for part in whole)
    return tuple(max(1, round(weight / total * MAX_PERIOD)) if weight else 0 for weight in exact)


@lru_cache(maxsize=32)
def _pattern(parts: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
    """Of one period: the source of each row (period,), rows of each source before each row (sources, period + 1),
    and the rows of each source."""
    period, live = sum(parts), [source for source, part in enumerate(parts) if part]
    sources = np.zeros(period, dtype=np.int64)
    if len(live) > 1:
        _deal(parts, live, sources)
    else:
        sources[:] = live[0]
    is_from = sources[None, :] == np.arange(len(parts))[:, None]
    before = np.concatenate((np.zeros((len(parts), 1), np.int64), is_from.cumsum(axis=1)), axis=1)
    return sources, before, tuple(np.flatnonzero(row) for row in is_from)


def _deal(parts: tuple[int, ...], live: list[int], sources: np.ndarray) -> None:
    """Tijdeman's rule: of the sources that lag by 1 / (2k - 2) or more, the one that must be served soonest."""
    period, scale = sum(parts), 2 * len(live) - 2
    lag = dict.fromkeys(live, 0)  # scale · period · (rows due - rows had)
    for row in range(period):
        for source in live:
            lag[source] += scale * parts[source]
        chosen = min(
            (source for source in live if lag[source] >= period),
            key=lambda source: ((scale - 1) * period - lag[source]) / parts[source],
        )
        lag[chosen] -= scale * period
        sources[row] = chosen
