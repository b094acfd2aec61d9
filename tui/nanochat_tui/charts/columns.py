"""What of a series falls into each column of dots of a chart."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from nanochat_tui.charts.pyramid import MinMaxPyramid

Span = tuple[float, float]
"""From where to where on the x axis."""


@dataclass
class Column:
    """What of a curve falls into one column of dots."""

    x: int
    begin: int
    """The first of its points."""
    first: float
    last: float
    low: float
    high: float
    holes: bool


def columns(values: MinMaxPyramid, places: Sequence[float], span: Span, n: int, begin: int = 0) -> Iterator[Column]:
    """What falls into each of n columns of dots, for columns that have a point, from the point `begin` on.

    Where there are many points a column its edge is moved to the end of a group of the pyramid, by a sixteenth of the
    column at most: then nothing but whole groups is looked at, and every point is in one column still.
    """
    low, high = span
    raw, index = values.values, bisect_left(places, low)
    stop = bisect_right(places, high)
    size, groups = values.groups((stop - index) / n) or (1, None)
    index = max(index, begin)
    while index < stop:
        x = min(int((places[index] - low) / (high - low) * n), n - 1)
        edge = low + (x + 1) * (high - low) / n
        end = stop if x == n - 1 else max(bisect_left(places, edge, index, stop), index + 1)
        if groups is not None and end < stop:
            end = min(-(-end // size) * size, stop)
        if groups is not None and index % size == 0 and end % size == 0:
            extent = groups.extent(index // size, end // size)
        else:
            extent = values.extent(index, end)
        yield Column(x, index, raw[index], raw[end - 1], *extent)
        index = end


def group_size(values: MinMaxPyramid, places: Sequence[float], span: Span, n: int) -> int:
    """To how many points `columns` moves its edges."""
    found = values.groups((bisect_right(places, span[1]) - bisect_left(places, span[0])) / n)
    return found[0] if found else 1


def steady(span: Span, n: int) -> Span:
    """The span with its end moved on by one of n columns of dots at most, so that it stays while a series grows by a little."""
    low, high = span
    unit = 2.0 ** math.floor(math.log2((high - low) / n))
    return low, low + math.ceil((high - low) / unit) * unit


class GrowingColumns:
    """The columns of a series that grows at its end: of those that were looked at before only the last can be another."""

    def __init__(self) -> None:
        self.columns: list[Column] = []
        self.version = 0
        """Rises where others than the last and further ones may be different."""
        self._of: tuple[object, ...] = ()

    def bring_up_to_date(self, values: MinMaxPyramid, places: Sequence[float], span: Span, n: int) -> None:
        """Look at what is new, or at everything where the series, the span or the number of columns is another."""
        of = (values, values.cuts, span, n, group_size(values, places, span, n))
        if self._of and self.columns and all(a is b or a == b for a, b in zip(of, self._of, strict=True)):
            self.columns += columns(values, places, span, n, self.columns.pop().begin)
            return
        self._of = of
        self.version += 1
        self.columns = list(columns(values, places, span, n))
