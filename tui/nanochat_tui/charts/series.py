"""A metric over a run, point by point, by step, tokens or time; raw and smoothed."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from math import isfinite, nan
from typing import Literal

from nanochat_tui.charts.pyramid import MinMaxPyramid

Axis = Literal["step", "tokens", "time"]
AXES: tuple[Axis, ...] = ("step", "tokens", "time")
MAX_SMOOTHING = 0.999


class Smoothed:
    """Exponential moving average with bias correction, of every point, before anything is left out of a drawing.

    With factor a, the n-th finite value x moves the average by (x - average) (1 - a) / (1 - a^n): the weights of all
    values so far sum to one, so a constant stays what it is, exactly. A hole stays a hole and moves nothing.
    """

    def __init__(self, factor: float) -> None:
        assert 0 < factor <= MAX_SMOOTHING, factor
        self.factor = factor
        self.values = MinMaxPyramid()
        self._average = 0.0
        self._weight = 1.0
        """a^n."""

    def append(self, value: float) -> None:
        """Take in one more value."""
        if not isfinite(value):
            self.values.append(nan)
            return
        self._weight *= self.factor
        self._average += (value - self._average) * ((1.0 - self.factor) / (1.0 - self._weight))
        self.values.append(self._average)


class Places:
    """Where points are on each axis. Steps strictly rise; tokens and seconds do not fall."""

    def __init__(self) -> None:
        self.of: dict[Axis, array[float]] = {axis: array("d") for axis in AXES}

    def __len__(self) -> int:
        return len(self.of["step"])

    def append(self, step: float, tokens: float, seconds: float) -> None:
        """A place beyond the last one; clocks that were set back stand still."""
        for known, place in zip(self.of.values(), (step, tokens, seconds), strict=True):
            known.append(max(place, known[-1]) if known else place)

    def cut(self, length: int) -> None:
        """Forget all places but the first `length`."""
        for known in self.of.values():
            del known[length:]

    def copy(self, length: int) -> Places:
        """The first `length` places, apart."""
        made = Places()
        made.of = {axis: known[:length] for axis, known in self.of.items()}
        return made


class Series:
    """Points of one metric.

    Metrics that stand in the same records may share their places, which are most of what a point takes; whoever shares
    them appends to them (`MetricStore` does). A series that has its own, as all have at first, does so itself.
    """

    def __init__(self, shared: Places | None = None) -> None:
        """With `shared`: its points are to be where those are, from the first on, until `part`."""
        self.values = MinMaxPyramid()
        self._places = Places() if shared is None else shared
        self.shares = shared is not None
        """Whether its places are not its own."""
        self.version = 0
        """Rises with every change."""
        self._smoothed: Smoothed | None = None

    def __len__(self) -> int:
        return len(self.values)

    @property
    def places(self) -> dict[Axis, array[float]]:
        """Places of the points on each axis, as many as there are values."""
        return self._places.of

    def put(self, step: int, tokens: float, seconds: float, value: float) -> None:
        """Add a point; one at the same step is replaced, one at an earlier step finds its place."""
        self.part()
        steps = self.places["step"]
        if steps and step <= steps[-1]:
            self._insert(step, tokens, seconds, value)
            return
        self._places.append(float(step), tokens, seconds)
        self.put_last(value)

    def put_last(self, value: float) -> None:
        """The value at the last place, which was appended to the shared places a moment ago."""
        self.values.append(value)
        if self._smoothed is not None:
            self._smoothed.append(value)
        self.version += 1

    def part(self) -> None:
        """Have places of its own from now on."""
        if self.shares:
            self._places, self.shares = self._places.copy(len(self)), False

    def rewind(self, step: float) -> None:
        """Forget all points beyond a step."""
        self._cut(bisect_right(self.places["step"], step))

    def smoothed(self, factor: float) -> MinMaxPyramid:
        """The values smoothed, as many as there are; 0 is the values themselves. It is kept for the last factor asked for."""
        if factor <= 0:
            return self.values
        factor = min(factor, MAX_SMOOTHING)
        if self._smoothed is None or self._smoothed.factor != factor:
            self._smoothed = Smoothed(factor)
            for value in self.values.values:
                self._smoothed.append(value)
        return self._smoothed.values

    def at(self, axis: Axis, place: float) -> int | None:
        """The point nearest to a place on an axis; None without points."""
        places = self.places[axis]
        if not places:
            return None
        right = min(bisect_left(places, place), len(places) - 1)
        left = max(right - 1, 0)
        return left if place - places[left] <= places[right] - place else right

    def _insert(self, step: int, tokens: float, seconds: float, value: float) -> None:
        index = bisect_left(self.places["step"], step)
        points = [(*(self.places[axis][i] for axis in AXES), self.values.values[i]) for i in range(index, len(self))]
        if points[0][0] == step:
            del points[0]
        self._cut(index)
        for *place, later in ((float(step), tokens, seconds, value), *points):
            self._places.append(*place)
            self.values.append(later)
        self._smoothed = None
        self.version += 1

    def _cut(self, length: int) -> None:
        if length == len(self):
            return
        self.values.cut(length)
        if not self.shares:
            self._places.cut(length)
        self._smoothed = None
        self.version += 1
