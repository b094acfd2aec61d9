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


class Series:
    """Points of one metric. Steps strictly rise; tokens and seconds do not fall."""

    def __init__(self) -> None:
        self.values = MinMaxPyramid()
        self.places: dict[Axis, array[float]] = {axis: array("d") for axis in AXES}
        self.version = 0
        """Rises with every change."""
        self._smoothed: Smoothed | None = None

    def __len__(self) -> int:
        return len(self.values)

    def put(self, step: int, tokens: float, seconds: float, value: float) -> None:
        """Add a point; one at the same step is replaced, one at an earlier step finds its place."""
        steps = self.places["step"]
        if steps and step <= steps[-1]:
            self._insert(step, tokens, seconds, value)
            return
        self._append((float(step), tokens, seconds), value)
        if self._smoothed is not None:
            self._smoothed.append(value)
        self.version += 1

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

    def _append(self, places: tuple[float, ...], value: float) -> None:
        for axis, place in zip(AXES, places, strict=True):
            known = self.places[axis]
            known.append(max(place, known[-1]) if known else place)  # clocks are set back now and then
        self.values.append(value)

    def _insert(self, step: int, tokens: float, seconds: float, value: float) -> None:
        index = bisect_left(self.places["step"], step)
        points = [
            ((self.places["step"][i], self.places["tokens"][i], self.places["time"][i]), self.values.values[i])
            for i in range(index, len(self))
        ]
        if points[0][0][0] == step:
            del points[0]
        self._cut(index)
        self._append((float(step), tokens, seconds), value)
        for places, later in points:
            self._append(places, later)

    def _cut(self, length: int) -> None:
        if length == len(self):
            return
        self.values.cut(length)
        for places in self.places.values():
            del places[length:]
        self._smoothed = None
        self.version += 1
