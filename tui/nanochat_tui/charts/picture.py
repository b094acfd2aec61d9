"""A line chart as rows of text, each piece with the role by which it gets its colour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from nanochat_tui.charts import ticks
from nanochat_tui.charts.canvas import CHARACTERS, Canvas
from nanochat_tui.charts.columns import steady
from nanochat_tui.charts.curve import Curve, colour_of
from nanochat_tui.charts.plot import Piece, Plot, Scale, dashes, scale_of
from nanochat_tui.charts.view import View

_FULL_HEIGHT, _FULL_WIDTH = 6, 24
"""From this size on there are axes with labels."""
MANY = 4
"""Points a cell from which on the end of the x axis moves by whole columns of dots: that it is one dot too far is not seen."""
HOLE = "×"


@dataclass
class Picture:
    """Rows of pieces, and where the plot lies in them."""

    rows: list[list[Piece]]
    left: int = 0
    width: int = 0
    span: tuple[float, float] = (0.0, 0.0)

    def place(self, x: int) -> float | None:
        """What a column of the picture stands for on the x axis; None outside the plot."""
        if not 0 <= x - self.left < self.width:
            return None
        low, high = self.span
        return low + (x - self.left + 0.5) / self.width * (high - low)

    def text(self) -> str:
        """Without colours."""
        return "\n".join("".join(text for text, _ in row).rstrip() for row in self.rows)


def draw(
    curves: Sequence[Curve],
    width: int,
    height: int,
    view: View,
    *,
    title: str,
    log: bool = False,
    span: tuple[float, float] | None = None,
    dashed: bool = False,
    plot: Plot | None = None,
) -> Picture:
    """The chart in `width` x `height` cells; `span` is the whole x axis where it is more than these curves have.

    `dashed`: lines are told apart by their dashes, for screens without colours. `plot` is the one that drew these curves
    before, if one did.
    """
    if width < 1 or height < 1:
        return Picture([[] for _ in range(max(height, 0))])
    low, high = view.zoom or span or whole_span(curves, view)
    if not high > low:
        low, high = low - 0.5, high + 0.5
    if view.zoom is None and max((len(curve.series) for curve in curves), default=0) > MANY * width:
        low, high = steady((low, high), 2 * width)
    full = height >= _FULL_HEIGHT and width >= _FULL_WIDTH
    plot_height = height - (3 if full else 1)
    heading = [_heading(curves, width, view, title, dashed)]
    if plot_height < 1:
        return Picture(heading)
    labels = _end_labels(curves, view, width) if full else []
    right = max((len(text) for text, _ in labels), default=0)
    scale = scale_of(curves, view, (low, high), 2 * width, plot_height, log)
    y_ticks = _y_ticks(scale, plot_height) if full and scale else {}
    if max(map(len, y_ticks.values()), default=0) > width // 3:
        y_ticks = {}
    left = max(map(len, y_ticks.values()), default=0) + 2 if full else 0
    plot_width = max(width - left - right, 1)
    rows, end_rows, holes = [[("", "blank")] for _ in range(plot_height)], {}, set()
    if scale:
        plot = plot or Plot()
        rows = plot.draw(curves, view, (low, high), scale, plot_width, plot_height, dashed)
        holes = plot.holes
        end_rows = _label_rows(curves, labels, scale, view, plot_height)
    picture = Picture(heading, left, plot_width, (low, high))
    for number, row in enumerate(rows):
        gutter = (
            [(f"{y_ticks[number]:>{left - 2}} ┤" if number in y_ticks else f"{'│':>{left}}", "axis")] if full else []
        )
        picture.rows.append([*gutter, *row, *([end_rows[number]] if number in end_rows else [])])
    if full:
        picture.rows += _x_axis(view, (low, high), left, plot_width, right, holes)
    elif holes:
        picture.rows[-1] = _marked(picture.rows[-1], holes)
    return picture


def whole_span(curves: Sequence[Curve], view: View) -> tuple[float, float]:
    """From the first to the last point of any of the curves; (0, 1) without points."""
    places = [curve.series.places[view.axis] for curve in curves if len(curve.series)]
    return (min(p[0] for p in places), max(p[-1] for p in places)) if places else (0.0, 1.0)


def _value(curve: Curve, view: View) -> float | None:
    """The newest value, or the one at the cursor; None without any, and where the line ended before the cursor."""
    places, values = curve.series.places[view.axis], curve.shown(view).values
    if not places:
        return None
    if view.cursor is None:
        return values[-1]
    if view.legend == "signs" and view.cursor - places[-1] > (places[-1] - places[-2] if len(places) > 1 else 0.0):
        return None
    index = curve.series.at(view.axis, view.cursor)
    return None if index is None else values[index]


def _piece_of_line(role: str) -> str:
    """A few cells of a curve's line, for the legend."""
    canvas = Canvas(5, 1)
    canvas.line(0, 2, 9, 2)
    canvas.dash(dashes(role))
    return "".join(CHARACTERS[dots] for dots in canvas.rows()[0]) + " "


def _heading(curves: Sequence[Curve], width: int, view: View, title: str, dashed: bool) -> list[Piece]:
    """Title on the left; on the right the newest values, or those at the cursor."""
    note = "" if view.cursor is None else f"  {view.axis} {_place(view, view.cursor)}"
    found = []
    for number, curve in enumerate(curves):
        value = _value(curve, view)
        if value is not None and (view.legend == "names" or len(curves) == 1):
            found.append((curve.label, ticks.short(value), f"line.{colour_of(curves, number)}"))
    room = width - len(title) - len(note)
    values = [(f"  {label} {value}" if len(found) > 1 else f"  {value}", role) for label, value, role in found]
    if sum(len(text) for text, _ in values) > room:  # the colours and the lines' ends tell which is which
        values = [(f"  {value}", role) for _, value, role in found]
    if sum(len(text) for text, _ in values) > room:  # where the cursor is, wider charts tell as well
        note, room = "", room + len(note)
    while values and sum(len(text) for text, _ in values) > room:
        values.pop()
    if dashed and len(values) > 1 and sum(len(text) + 6 for text, _ in values) <= room:
        values = [(f"  {_piece_of_line(role)}{text[2:]}", role) for text, role in values]
    space = room - sum(len(text) for text, _ in values)
    pieces = [(title[:width], "title"), (" " * max(space, 0), "blank")]
    return [*pieces, *([(note, "note")] if note and space >= 0 else []), *values]


def _place(view: View, place: float) -> str:
    if view.axis == "time":
        return ticks.duration(place)
    return f"{place:,.0f}" if view.axis == "step" else ticks.short(place)


def _y_ticks(scale: Scale, height: int) -> dict[int, str]:
    """Row of cells -> label."""
    count = max(min(height, 3), min(height // 2, 7))
    found = (ticks.logarithmic if scale.log else ticks.linear)(scale.low, scale.high, count)
    return {round(scale.row(place)) // 4: label for place, label in found}


def _end_labels(curves: Sequence[Curve], view: View, width: int) -> list[tuple[str, int]]:
    """What is to the right of the lines' ends and the curve that each is of, where there are several and room."""
    present = [(number, curve) for number, curve in enumerate(curves) if len(curve.series)]
    if view.legend == "signs":
        values = [(_value(curve, view), curve, number) for number, curve in present]
        named = [
            (f" {curve.sign} {'-' if value is None else ticks.short(value)}", number) for value, curve, number in values
        ]
        return named if max((len(text) for text, _ in named), default=0) <= width // 3 else []
    named = [(f" {curve.label}", number) for number, curve in present]
    return named if len(named) > 1 and max(len(text) for text, _ in named) <= width // 4 else []


def _label_rows(
    curves: Sequence[Curve], labels: Sequence[tuple[str, int]], scale: Scale, view: View, height: int
) -> dict[int, Piece]:
    """Row of cells -> label, each near its line's end and none on another."""
    wanted = []
    for text, number in labels:
        values = curves[number].shown(view).values
        last = _value(curves[number], view) if view.legend == "signs" else None
        if last is None or not scale.has(last):
            last = next((value for value in reversed(values) if scale.has(value)), scale.low)
        wanted.append((scale.row(last), (text, f"line.{colour_of(curves, number)}")))
    wanted.sort()
    places: list[int] = []
    for dot, _ in wanted:  # downwards, each below the one before; then back up from the last row
        places.append(max(min(max(round(dot) // 4, 0), height - 1), places[-1] + 1 if places else 0))
    for number in reversed(range(len(places))):
        places[number] = min(places[number], height - len(places) + number)
    return {place: piece for place, (_, piece) in zip(places, wanted, strict=True) if place >= 0}


def _x_axis(
    view: View, span: tuple[float, float], left: int, width: int, right: int, holes: set[int]
) -> list[list[Piece]]:
    """The axis, marked where values are not finite, and its labels with the axis's name at the end."""
    count = max(2, min(width // 9, 9))
    found = (ticks.times if view.axis == "time" else ticks.linear)(*span, count)
    name = f" {view.axis}"
    axis, text, free = ["─"] * width, [" "] * (left + width + right), 0
    limit = len(text) - len(name)
    for place, label in found:
        cell = min(round((place - span[0]) / (span[1] - span[0]) * width), width - 1)
        begin = max(left + cell - len(label) // 2, 0)
        axis[cell] = "┬"
        if free <= begin <= limit - len(label):
            text[begin : begin + len(label)] = label
            free = begin + len(label) + 1
    text[limit:] = name
    line = _marked([("".join(axis), "axis")], holes)
    return [[(f"{'└':>{left}}", "axis"), *line], [("".join(text), "axis")]]


def _marked(row: list[Piece], cells: set[int]) -> list[Piece]:
    """A row with the mark of a hole over some of its cells."""
    marked = [(character, role) for text, role in row for character in text]
    marked = [(HOLE, "alert") if cell in cells else piece for cell, piece in enumerate(marked)]
    return [("".join(c for c, _ in group), role) for role, group in groupby(marked, key=lambda piece: piece[1])]
