"""Least and greatest of any stretch of a growing series, in a time that hardly depends on the stretch's length."""

from __future__ import annotations

from array import array
from math import inf, isfinite
from typing import NamedTuple

FAN_OUT = 16


class Extent(NamedTuple):
    """What a stretch of values spans: `low` is inf and `high` -inf where none of them is finite."""

    low: float
    high: float
    holes: bool
    """Whether a value in it is NaN or infinite."""


class _Level:
    """Least, greatest and holes of whole groups of the level below."""

    def __init__(self) -> None:
        self.lows, self.highs, self.holes = array("d"), array("d"), bytearray()

    def append(self, low: float, high: float, holes: bool) -> None:
        self.lows.append(low)
        self.highs.append(high)
        self.holes.append(holes)

    def extent(self, begin: int, end: int) -> tuple[float, float, bool]:
        return min(self.lows[begin:end]), max(self.highs[begin:end]), self.holes.find(1, begin, end) >= 0

    def cut(self, length: int) -> None:
        del self.lows[length:], self.highs[length:], self.holes[length:]

    def __len__(self) -> int:
        return len(self.lows)


class MinMaxPyramid:
    """Values in the order they came, and above them levels of groups of FAN_OUT, of which only whole ones are kept.

    Appending costs O(1) on average, `extent` O(FAN_OUT log n), and a value takes 9 bytes and a bit.
    """

    def __init__(self) -> None:
        self.values = array("d")
        self.cuts = 0
        """How often values were forgotten; while it stays the same nothing but the end has changed."""
        self._holes = bytearray()
        self._levels: list[_Level] = []

    def __len__(self) -> int:
        return len(self.values)

    def append(self, value: float) -> None:
        """Add a value, which need not be finite."""
        self.values.append(value)
        self._holes.append(not isfinite(value))
        count, height = len(self.values), 0
        while count % FAN_OUT == 0:
            below = self._raw if height == 0 else self._levels[height - 1].extent
            if height == len(self._levels):
                self._levels.append(_Level())
            self._levels[height].append(*below(count - FAN_OUT, count))
            count //= FAN_OUT
            height += 1

    def cut(self, length: int) -> None:
        """Forget all values but the first `length`."""
        self.cuts += 1
        del self.values[length:], self._holes[length:]
        for level in self._levels:
            length //= FAN_OUT
            level.cut(length)

    def extent(self, begin: int, end: int) -> Extent:
        """The extent of `values[begin:end]`."""
        begin, end = max(begin, 0), min(end, len(self.values))
        low, high, holes = inf, -inf, False
        scan = self._raw
        for level in self._levels:
            first, last = -(-begin // FAN_OUT), end // FAN_OUT
            if first >= last:
                break
            for start, stop in ((begin, first * FAN_OUT), (last * FAN_OUT, end)):
                if start < stop:
                    part = scan(start, stop)
                    low, high, holes = min(low, part[0]), max(high, part[1]), holes or part[2]
            begin, end, scan = first, last, level.extent
        if begin < end:
            part = scan(begin, end)
            low, high, holes = min(low, part[0]), max(high, part[1]), holes or part[2]
        return Extent(low, high, holes)

    def groups(self, count: float) -> tuple[int, _Level] | None:
        """The coarsest level of which `count` values have FAN_OUT groups or more, and the values of a group; None if none."""
        found, size = None, FAN_OUT
        for level in self._levels:
            if count < size * FAN_OUT:
                break
            found, size = (size, level), size * FAN_OUT
        return found

    def _raw(self, begin: int, end: int) -> tuple[float, float, bool]:
        values = self.values[begin:end]
        if self._holes.find(1, begin, end) < 0:
            return min(values), max(values), False
        finite = [value for value in values if isfinite(value)]
        return min(finite, default=inf), max(finite, default=-inf), True
