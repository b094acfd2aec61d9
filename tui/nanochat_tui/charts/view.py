"""How charts are looked at; charts that share a view move together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nanochat_tui.charts.series import AXES, Axis

SMOOTHINGS = (0.0, 0.6, 0.9, 0.97, 0.99)
_CLOSEST = 1e-6
"""Share of the whole axis that a zoom can come down to."""


@dataclass
class View:
    """The x axis, the smoothing, the stretch that is zoomed to (None: everything) and the cursor, in the axis's unit.

    `legend`: with `names` the values stand in a chart's heading and the labels at the lines' ends; with `signs` a curve's
    sign and its value stand at its line's end. `signs_on_lines` sets the signs on the lines, for screens without colours.
    """

    axis: Axis = "step"
    smoothing: float = 0.0
    zoom: tuple[float, float] | None = None
    cursor: float | None = None
    legend: Literal["names", "signs"] = "names"
    signs_on_lines: bool = False

    def next_axis(self) -> None:
        """Step, tokens, time, and again; zoom and cursor are given up, as their unit is."""
        self.axis = AXES[(AXES.index(self.axis) + 1) % len(AXES)]
        self.zoom = self.cursor = None

    def next_smoothing(self) -> None:
        """The next of SMOOTHINGS."""
        self.smoothing = next((factor for factor in SMOOTHINGS if factor > self.smoothing), SMOOTHINGS[0])

    def scale(self, factor: float, span: tuple[float, float]) -> None:
        """Show `factor` times as much as now, around the cursor if it is in sight; `span` is the whole axis."""
        low, high = self.zoom or span
        centre = self.cursor if self.cursor is not None and low <= self.cursor <= high else (low + high) / 2
        low, high = centre - (centre - low) * factor, centre + (high - centre) * factor
        if high - low < (span[1] - span[0]) * _CLOSEST:
            return
        shift = max(span[0] - low, 0.0) - max(high - span[1], 0.0)
        self.zoom = None if high - low >= span[1] - span[0] else (low + shift, high + shift)

    def move(self, share: float, span: tuple[float, float]) -> None:
        """Move the cursor by a share of what is shown; it begins at the right end and pulls the zoom along."""
        low, high = self.zoom or span
        place = high if self.cursor is None else self.cursor + share * (high - low)
        self.cursor = min(max(place, span[0]), span[1])
        if self.zoom and not low <= self.cursor <= high:
            shift = self.cursor - (low if self.cursor < low else high)
            self.zoom = (low + shift, high + shift)
