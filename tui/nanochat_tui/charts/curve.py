"""A line of a chart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nanochat_tui.charts.pyramid import MinMaxPyramid
from nanochat_tui.charts.series import Series
from nanochat_tui.charts.view import View


@dataclass(frozen=True)
class Curve:
    """One line of a chart; `label` tells it from the others. One of few points, far apart, is better not smoothed.

    `colour` is the place of its colour in the palette, if not its own place; `sign` tells it apart where no colour does.
    """

    series: Series
    label: str
    smooth: bool = True
    colour: int | None = None
    sign: str = ""

    def shown(self, view: View) -> MinMaxPyramid:
        """The values whose line is the curve's own; the raw ones are behind it."""
        return self.series.smoothed(view.smoothing if self.smooth else 0.0)


def colour_of(curves: Sequence[Curve], number: int) -> int:
    """The place of a curve's colour in the palette."""
    own = curves[number].colour
    return number if own is None else own
