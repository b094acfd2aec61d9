"""A line chart as rows of text, each piece with the role by which it gets its colour."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from nanochat_tui.charts import ticks
from nanochat_tui.charts.canvas import CHARACTERS, DASHES, Canvas
from nanochat_tui.charts.pyramid import MinMaxPyramid
from nanochat_tui.charts.series import Series
from nanochat_tui.charts.view import View

Piece = tuple[str, str]
"""Text and its role: title, note, axis, alert, cursor, blank, `line.N` and `faint.N` for the N-th curve."""
_FULL_HEIGHT, _FULL_WIDTH = 6, 24
"""From this size on there are axes with labels."""
HOLE = "×"
SIGN_EVERY = 14
"""Cells between two signs on one line."""


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


@dataclass
class _Column:
    """What of a curve falls into one column of dots."""

    x: int
    first: float
    last: float
    low: float
    high: float
    holes: bool


@dataclass
class _Layer:
    """One line to draw: its columns, and the point before them (in the unit of the x axis)."""

    role: str
    columns: list[_Column]
    sign: str = ""
    """What is to stand on the line here and there; empty: nothing."""
    before: tuple[float, float] | None = None
    canvas: Canvas = field(default_factory=lambda: Canvas(0, 0))


@dataclass(frozen=True)
class _Scale:
    """The y axis: from values to rows of dots."""

    low: float
    high: float
    log: bool
    n_dots: int

    def row(self, value: float) -> float:
        """Row of dots, 0 on top."""
        return self.rows()(value)

    def rows(self) -> Callable[[float], float]:
        """`row`, for many values."""
        if not self.log:
            high, factor = self.high, (self.n_dots - 1) / (self.high - self.low)
            return lambda value: (high - value) * factor
        least, top = self.low, math.log10(self.high)
        factor = (self.n_dots - 1) / (top - math.log10(least))
        return lambda value: (top - math.log10(max(value, least))) * factor


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
) -> Picture:
    """The chart in `width` x `height` cells; `span` is the whole x axis where it is more than these curves have.

    `dashed`: lines are told apart by their dashes, for screens without colours.
    """
    if width < 1 or height < 1:
        return Picture([[] for _ in range(max(height, 0))])
    low, high = view.zoom or span or whole_span(curves, view)
    if not high > low:
        low, high = low - 0.5, high + 0.5
    full = height >= _FULL_HEIGHT and width >= _FULL_WIDTH
    plot_height = height - (3 if full else 1)
    heading = [_heading(curves, width, view, title, dashed)]
    if plot_height < 1:
        return Picture(heading)
    labels = _end_labels(curves, view, width) if full else []
    right = max((len(text) for text, _ in labels), default=0)
    scale = _scale(curves, view, (low, high), 2 * width, plot_height, log)
    y_ticks = _y_ticks(scale, plot_height) if full and scale else {}
    if max(map(len, y_ticks.values()), default=0) > width // 3:
        y_ticks = {}
    left = max(map(len, y_ticks.values()), default=0) + 2 if full else 0
    plot_width = max(width - left - right, 1)
    layers = list(_layers(curves, view, (low, high), plot_width)) if scale else []
    rows, end_rows = [[("", "blank")] for _ in range(plot_height)], {}
    if scale:
        for layer in layers:
            layer.canvas = _trace(layer, scale, plot_width, plot_height, (low, high))
            if dashed and layer.role.startswith("line.") and not layer.sign:
                layer.canvas.dash(_dashes(layer.role))
        rows = _composed(layers, plot_width, plot_height, _cursor_cell(view, (low, high), plot_width))
        end_rows = _label_rows(curves, labels, scale, view, plot_height)
    holes = {column.x // 2 for layer in layers for column in layer.columns if column.holes}
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


def _shown(curve: Curve, view: View) -> MinMaxPyramid:
    """The values whose line is the curve's own; the raw ones are behind it."""
    return curve.series.smoothed(view.smoothing if curve.smooth else 0.0)


def _colour(curves: Sequence[Curve], number: int) -> int:
    own = curves[number].colour
    return number if own is None else own


def _value(curve: Curve, view: View) -> float | None:
    """The newest value, or the one at the cursor; None without any, and where the line ended before the cursor."""
    places, values = curve.series.places[view.axis], _shown(curve, view).values
    if not places:
        return None
    if view.cursor is None:
        return values[-1]
    if view.legend == "signs" and view.cursor - places[-1] > (places[-1] - places[-2] if len(places) > 1 else 0.0):
        return None
    index = curve.series.at(view.axis, view.cursor)
    return None if index is None else values[index]


def _dashes(role: str) -> str:
    """The dashes of a curve, by its role."""
    return DASHES[int(role.partition(".")[2]) % len(DASHES)]


def _piece_of_line(role: str) -> str:
    """A few cells of a curve's line, for the legend."""
    canvas = Canvas(5, 1)
    canvas.line(0, 2, 9, 2)
    canvas.dash(_dashes(role))
    return "".join(CHARACTERS[dots] for dots in canvas.rows()[0]) + " "


def _heading(curves: Sequence[Curve], width: int, view: View, title: str, dashed: bool) -> list[Piece]:
    """Title on the left; on the right the newest values, or those at the cursor."""
    note = "" if view.cursor is None else f"  {view.axis} {_place(view, view.cursor)}"
    found = []
    for number, curve in enumerate(curves):
        value = _value(curve, view)
        if value is not None and (view.legend == "names" or len(curves) == 1):
            found.append((curve.label, ticks.short(value), f"line.{_colour(curves, number)}"))
    room = width - len(title) - len(note)
    values = [(f"  {label} {value}" if len(found) > 1 else f"  {value}", role) for label, value, role in found]
    if sum(len(text) for text, _ in values) > room:  # the colours and the lines' ends tell which is which
        values = [(f"  {value}", role) for _, value, role in found]
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


def _columns(values: MinMaxPyramid, places: Sequence[float], span: tuple[float, float], n: int) -> Iterator[_Column]:
    """What falls into each of n columns of dots, for columns that have a point.

    Where there are many points a column its edge is moved to the end of a group of the pyramid, by a sixteenth of the
    column at most: then nothing but whole groups is looked at, and every point is in one column still.
    """
    low, high = span
    raw, index = values.values, bisect_left(places, low)
    stop = bisect_right(places, high)
    size, groups = values.groups((stop - index) / n) or (1, None)
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
        yield _Column(x, raw[index], raw[end - 1], *extent)
        index = end


def _layers(curves: Sequence[Curve], view: View, span: tuple[float, float], width: int) -> Iterator[_Layer]:
    """The lowest first: raw values behind smoothed ones, the first curve on top."""
    for number, curve in reversed(list(enumerate(curves))):
        places = curve.series.places[view.axis]
        before = bisect_left(places, span[0]) - 1
        for role, values in (("faint", curve.series.values), ("line", _shown(curve, view))):
            if role == "faint" and values is _shown(curve, view):
                continue
            layer = _Layer(f"{role}.{_colour(curves, number)}", list(_columns(values, places, span, 2 * width)))
            layer.sign = curve.sign if role == "line" and view.signs_on_lines else ""
            if before >= 0:
                layer.before = (places[before], values.values[before])
            yield layer


def _scale(
    curves: Sequence[Curve], view: View, span: tuple[float, float], n: int, height: int, log: bool
) -> _Scale | None:
    """A y axis that holds every finite value in sight (of a smoothed curve, too); None if there is none."""
    lows, highs = [], []
    for curve in curves:
        values, places = curve.series.values, curve.series.places[view.axis]
        extent = values.extent(bisect_left(places, span[0]), bisect_right(places, span[1]))
        extents = [(extent.low, extent.high)]
        if log and extent.low <= 0:  # what is not positive has no place: the least of what has one, column by column
            columns = _columns(values, places, span, n)
            extents = [(c.low if c.low > 0 else c.high, c.high) for c in columns if c.high > 0]
        lows += [low for low, high in extents if low <= high]
        highs += [high for low, high in extents if low <= high]
    if not lows:
        return None
    low, high = min(lows), max(highs)
    if log:
        low, high = (low / 1.05, high * 1.05) if high > low else (low / 2, high * 2)
    else:
        room = (high - low) * 0.04 or abs(high) * 0.05 or 1.0
        low, high = low - room if low < 0 or low >= room else 0.0, high + room
    return _Scale(low, high, log, 4 * height) if math.isfinite(high - low) and high > low else None


def _y_ticks(scale: _Scale, height: int) -> dict[int, str]:
    """Row of cells -> label."""
    count = max(min(height, 3), min(height // 2, 7))
    found = (ticks.logarithmic if scale.log else ticks.linear)(scale.low, scale.high, count)
    return {round(scale.row(place)) // 4: label for place, label in found}


def _trace(layer: _Layer, scale: _Scale, width: int, height: int, span: tuple[float, float]) -> Canvas:
    """The layer's dots. A line joins neighbours unless a hole is between them."""
    canvas, row = Canvas(width, height), scale.rows()
    previous: tuple[int, float] | None = None
    if layer.before is not None and _drawable(layer.before[1], scale):
        x = math.floor((layer.before[0] - span[0]) / (span[1] - span[0]) * 2 * width)
        previous = (x, scale.row(layer.before[1]))
    for column in layer.columns:
        if previous is not None and _drawable(column.first, scale):
            canvas.line(*previous, column.x, row(column.first))
        if column.high >= column.low and _drawable(column.high, scale):
            canvas.vertical(column.x, round(row(column.high)), round(row(column.low)))
        previous = (column.x, row(column.last)) if _drawable(column.last, scale) else None
    return canvas


def _drawable(value: float, scale: _Scale) -> bool:
    return math.isfinite(value) and (value > 0 or not scale.log)


def _cursor_cell(view: View, span: tuple[float, float], width: int) -> int | None:
    if view.cursor is None or not span[0] <= view.cursor <= span[1]:
        return None
    return min(int((view.cursor - span[0]) / (span[1] - span[0]) * width), width - 1)


def _composed(layers: Sequence[_Layer], width: int, height: int, cursor: int | None) -> list[list[Piece]]:
    """Rows of the plot: in each cell the topmost layer that has a dot there."""
    drawn = [(layer.role, layer.canvas.rows()) for layer in layers]
    signs = _signs(layers, [rows for _, rows in drawn], width)
    composed = []
    for number in range(height):
        characters, roles = [" "] * width, ["blank"] * width
        if cursor is not None:
            characters[cursor], roles[cursor] = "│", "cursor"
        for role, rows in drawn:
            for cell, dots in enumerate(rows[number]):
                if dots:
                    characters[cell], roles[cell] = CHARACTERS[dots], role
        for cell, sign, role in signs.get(number, ()):
            characters[cell], roles[cell] = sign, role
        cell, row = 0, []
        for role, group in groupby(roles):
            length = len(list(group))
            row.append(("".join(characters[cell : cell + length]), role))
            cell += length
        composed.append(row)
    return composed


def _signs(
    layers: Sequence[_Layer], drawn: Sequence[Sequence[Sequence[int]]], width: int
) -> dict[int, list[tuple[int, str, str]]]:
    """Row of cells -> (cell, sign, role): the lines' signs, each in columns of its own."""
    found: dict[int, list[tuple[int, str, str]]] = {}
    signed = [(layer, rows) for layer, rows in zip(layers, drawn, strict=True) if layer.sign]
    for place, (layer, rows) in enumerate(signed):
        for cell in range(SIGN_EVERY * (2 * place + 1) // (2 * len(signed)), width, SIGN_EVERY):
            row = next((number for number, dots in enumerate(rows) if dots[cell]), None)
            if row is not None:
                found.setdefault(row, []).append((cell, layer.sign, layer.role))
    return found


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
    curves: Sequence[Curve], labels: Sequence[tuple[str, int]], scale: _Scale, view: View, height: int
) -> dict[int, Piece]:
    """Row of cells -> label, each near its line's end and none on another."""
    wanted = []
    for text, number in labels:
        values = _shown(curves[number], view).values
        last = _value(curves[number], view) if view.legend == "signs" else None
        if last is None or not _drawable(last, scale):
            last = next((value for value in reversed(values) if _drawable(value, scale)), scale.low)
        wanted.append((scale.row(last), (text, f"line.{_colour(curves, number)}")))
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
