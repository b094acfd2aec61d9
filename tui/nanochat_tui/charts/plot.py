"""The lines of a chart, drawn anew only where something in them is different."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from nanochat_tui.charts.canvas import CHARACTERS, DASHES, Canvas
from nanochat_tui.charts.columns import Column, GrowingColumns, Span, columns
from nanochat_tui.charts.curve import Curve, colour_of
from nanochat_tui.charts.view import View

Piece = tuple[str, str]
"""Text and its role: title, note, axis, alert, cursor, blank, `line.N` and `faint.N` for the N-th curve."""
SIGN_EVERY = 14
"""Cells between two signs on one line."""


@dataclass
class _Layer:
    """One line to draw: its columns, and the point before them (in the unit of the x axis)."""

    role: str
    columns: list[Column]
    version: int
    """That of the columns; see `GrowingColumns`."""
    sign: str = ""
    """What is to stand on the line here and there; empty: nothing."""
    before: tuple[float, float] | None = None
    canvas: Canvas = field(default_factory=lambda: Canvas(0, 0))

    def looks(self) -> tuple[object, ...]:
        """What it is drawn from: two layers of which this is equal look alike. How the last column ends is not to be seen."""
        end = [(c.x, c.first, c.low, c.high) for c in self.columns[-1:]]
        return self.role, self.version, len(self.columns), end, self.sign, self.before


@dataclass(frozen=True)
class Scale:
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

    def has(self, value: float) -> bool:
        """Whether a value has a place on it."""
        return math.isfinite(value) and (value > 0 or not self.log)


def scale_of(curves: Sequence[Curve], view: View, span: Span, n: int, height: int, log: bool) -> Scale | None:
    """A y axis of `height` cells that holds every finite value in sight (of a smoothed curve, too); None if there is none."""
    lows, highs = [], []
    for curve in curves:
        values, places = curve.series.values, curve.series.places[view.axis]
        extent = values.extent(bisect_left(places, span[0]), bisect_right(places, span[1]))
        extents = [(extent.low, extent.high)]
        if log and extent.low <= 0:  # what is not positive has no place: the least of what has one, column by column
            found = columns(values, places, span, n)
            extents = [(c.low if c.low > 0 else c.high, c.high) for c in found if c.high > 0]
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
    return Scale(low, high, log, 4 * height) if math.isfinite(high - low) and high > low else None


class Plot:
    """Draws curves; it knows what it drew last, so that points which change no dot cost next to nothing."""

    def __init__(self) -> None:
        self._columns: dict[str, GrowingColumns] = {}
        self._drawn: tuple[object, ...] = ()
        self._rows: list[list[Piece]] = []
        self.holes: set[int] = set()
        """Cells with a value that is not finite."""

    def draw(
        self, curves: Sequence[Curve], view: View, span: Span, scale: Scale, width: int, height: int, dashed: bool
    ) -> list[list[Piece]]:
        """Rows of `width` x `height` cells."""
        layers = list(self._layers(curves, view, span, width))
        cursor = _cursor_cell(view, span, width)
        key = (scale, span, width, height, cursor, dashed, *(layer.looks() for layer in layers))
        self.holes = {column.x // 2 for layer in layers for column in layer.columns if column.holes}
        if key != self._drawn:
            for layer in layers:
                layer.canvas = _trace(layer, scale, width, height, span)
                if dashed and layer.role.startswith("line.") and not layer.sign:
                    layer.canvas.dash(dashes(layer.role))
            self._drawn, self._rows = key, _composed(layers, width, height, cursor)
        return self._rows

    def _layers(self, curves: Sequence[Curve], view: View, span: Span, width: int) -> Iterator[_Layer]:
        """The lowest first: raw values behind smoothed ones, the first curve on top."""
        for number, curve in reversed(list(enumerate(curves))):
            places = curve.series.places[view.axis]
            before = bisect_left(places, span[0]) - 1
            for kind, values in (("faint", curve.series.values), ("line", curve.shown(view))):
                if kind == "faint" and values is curve.shown(view):
                    continue
                found = self._columns.setdefault(f"{kind} {number} {view.axis}", GrowingColumns())
                found.bring_up_to_date(values, places, span, 2 * width)
                layer = _Layer(f"{kind}.{colour_of(curves, number)}", found.columns, found.version)
                layer.sign = curve.sign if kind == "line" and view.signs_on_lines else ""
                if before >= 0:
                    layer.before = (places[before], values.values[before])
                yield layer


def dashes(role: str) -> str:
    """The dashes of a curve, by its role."""
    return DASHES[int(role.partition(".")[2]) % len(DASHES)]


def _trace(layer: _Layer, scale: Scale, width: int, height: int, span: Span) -> Canvas:
    """The layer's dots. A line joins neighbours unless a hole is between them."""
    canvas, row = Canvas(width, height), scale.rows()
    previous: tuple[int, float] | None = None
    if layer.before is not None and scale.has(layer.before[1]):
        x = math.floor((layer.before[0] - span[0]) / (span[1] - span[0]) * 2 * width)
        previous = (x, scale.row(layer.before[1]))
    for column in layer.columns:
        if previous is not None and scale.has(column.first):
            canvas.line(*previous, column.x, row(column.first))
        if column.high >= column.low and scale.has(column.high):
            canvas.vertical(column.x, round(row(column.high)), round(row(column.low)))
        previous = (column.x, row(column.last)) if scale.has(column.last) else None
    return canvas


def _cursor_cell(view: View, span: Span, width: int) -> int | None:
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
