"""Charts as SVG that stands in an HTML page: no script, no request, colours and font sizes from the page's own style.

A line is one path; text is real text. Everything drawn has a title and a description for those who do not see it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from nanochat_framework.report.curves import Chart, Point, Series
from nanochat_framework.report.figures import compact
from nanochat_framework.report.markup import Html, tag

WIDTH, HEIGHT = 480, 250
LEFT, RIGHT, TOP, BOTTOM = 46, 88, 12, 28
LINE_HEIGHT = 15
_COLOURS = 5


class Scale:
    """From values to places on one axis."""

    def __init__(self, low: float, high: float, begin: float, end: float, *, logarithmic: bool = False) -> None:
        self.logarithmic = logarithmic
        self.low, self.high = (math.log10(low), math.log10(high)) if logarithmic else (low, high)
        self.begin, self.end = begin, end

    def __call__(self, value: float) -> float:
        """The place of a value, kept inside the axis."""
        value = math.log10(max(value, 1e-300)) if self.logarithmic else value
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return self.begin + min(max(share, 0.0), 1.0) * (self.end - self.begin)


def nice_ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) that lie within a range."""
    if not high > low:
        return [low]
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def draw(chart: Chart, identity: str, marks: Sequence[float] = ()) -> Html:
    """The chart as an `<svg>`; `marks` are steps at which the run was resumed. `identity` is unique in the page."""
    lines = [series for series in chart.series if series.finite]
    if not lines:
        return Html("")
    x, y, ticks = _axes(chart, lines)
    parts = [
        tag("title", chart.title, id=f"{identity}-t"),
        tag("desc", describe_chart(chart), id=f"{identity}-d"),
        *_grid(x, y, ticks, marks),
        *(_level(value, y) for value in chart.levels.values()),
    ]
    colours = _colours(chart, lines)
    parts += [_line(series, x, y, colour) for series, colour in zip(lines, colours, strict=True)]
    parts += _labels(chart, lines, colours, y)
    return tag(
        "svg",
        *parts,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_labelledby=f"{identity}-t {identity}-d",
        class_=f"chart {chart.style}",
    )


def describe_chart(chart: Chart) -> str:
    """What the chart shows, in words."""
    said = []
    for series in chart.named:
        points = series.finite
        if points:
            name = f"{series.name}: " if series.name else ""
            low, high = min(v for _, v in points), max(v for _, v in points)
            ends = f"from {compact(points[0][1])} at step {points[0][0]:.0f} to {compact(points[-1][1])}"
            said.append(f"{name}{ends} at step {points[-1][0]:.0f}, between {compact(low)} and {compact(high)}")
    said += [f"{name} needs {compact(value)}" for name, value in chart.levels.items()]
    unit = f" ({chart.unit})" if chart.unit else ""
    return f"{chart.title}{unit} by step. {'; '.join(said[:8])}."


def _axes(chart: Chart, lines: Sequence[Series]) -> tuple[Scale, Scale, list[float]]:
    known = [value for series in lines for _, value in series.finite] + list(chart.levels.values())
    low, high = min(known), max(known)
    logarithmic = chart.logarithmic and low > 0
    if logarithmic:
        ticks = [10.0**power for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]
        low, high = ticks[0], ticks[-1] if ticks[-1] > ticks[0] else 10 * ticks[0]
    else:
        low = min(low, 0.0) if chart.from_zero else low
        margin = (high - low) * 0.04 or abs(high) * 0.05 or 1.0
        low, high = low if chart.from_zero else low - margin, high + margin
        ticks = nice_ticks(low, high)
    first, last = chart.steps
    x = Scale(first, max(last, first + 1), LEFT, WIDTH - RIGHT)
    return x, Scale(low, high, HEIGHT - BOTTOM, TOP, logarithmic=logarithmic), ticks


def _grid(x: Scale, y: Scale, ticks: Sequence[float], marks: Sequence[float]) -> list[Html]:
    parts = []
    for value in ticks:
        place = y(value)
        parts.append(tag("line", class_="grid", x1=LEFT, x2=WIDTH - RIGHT, y1=_at(place), y2=_at(place)))
        parts.append(tag("text", _tick(value, ticks), class_="tick", x=LEFT - 7, y=_at(place + 4), text_anchor="end"))
    steps = nice_ticks(x.low, x.high)
    for value in steps:
        parts.append(
            tag("text", _tick(value, steps), class_="tick", x=_at(x(value)), y=HEIGHT - 8, text_anchor="middle")
        )
    for step in marks:
        if x.low < step < x.high:
            at = _at(x(step))
            title = tag("title", f"resumed from step {step:.0f}")
            parts.append(tag("line", title, class_="mark", x1=at, x2=at, y1=TOP, y2=HEIGHT - BOTTOM))
    parts.append(tag("text", "step", class_="tick", x=WIDTH - RIGHT + 26, y=HEIGHT - 8))
    return parts


def _tick(value: float, ticks: Sequence[float]) -> str:
    """As many digits as tell the ticks apart."""
    step = min((b - a for a, b in pairwise(ticks)), default=abs(value) or 1.0)
    largest = max(abs(tick) for tick in ticks) or 1.0
    digits = max(2, math.floor(math.log10(largest)) - math.floor(math.log10(step * 1.0001)) + 1)
    text = compact(value, min(digits, 6)) if abs(value) > step * 1e-6 else "0"
    unit = text[-1] if text[-1] in "kMGT" else ""
    number = text.removesuffix(unit) if unit else text
    return (number.rstrip("0").rstrip(".") if "." in number and "e" not in number else number) + unit


def _level(value: float, y: Scale) -> Html:
    return tag("line", class_="level", x1=LEFT, x2=WIDTH - RIGHT, y1=_at(y(value)), y2=_at(y(value)))


def _line(series: Series, x: Scale, y: Scale, colour: str) -> Html:
    """A path, broken where values are not numbers; single values and evaluations are dots besides."""
    strokes: list[list[Point]] = [[]]
    for point in series.points:
        if math.isfinite(point[1]):
            strokes[-1].append(point)
        elif strokes[-1]:
            strokes.append([])
    path = " ".join(
        "M" + "L".join(f"{_at(x(step))} {_at(y(value))}" for step, value in stroke) for stroke in strokes if stroke
    )
    kind = "faint" if series.faint else "line"
    drawn = tag("path", class_=f"{kind} {colour}", d=path)
    few = series.dots and len(series.finite) <= 60
    dots = series.finite if few else [stroke[0] for stroke in strokes if len(stroke) == 1]
    radius = 2.6 if few else 2
    circles = [tag("circle", class_=f"dot {colour}", cx=_at(x(s)), cy=_at(y(v)), r=radius) for s, v in dots]
    return Html("".join((drawn, *circles)))


def _colours(chart: Chart, lines: Sequence[Series]) -> list[str]:
    """A class for each line: a faint line has its name's; a bundle is of one colour."""
    if chart.style == "bundle":
        return ["c1"] * len(lines)
    names = list(dict.fromkeys(series.name for series in lines))
    return [f"c{names.index(series.name) % _COLOURS + 1}" for series in lines]


def _labels(chart: Chart, lines: Sequence[Series], colours: Sequence[str], y: Scale) -> list[Html]:
    """Names at the ends of lines and levels, pushed apart where they would overlap."""
    wanted: list[tuple[float, str, str, str]] = []
    shown = [(series, colour) for series, colour in zip(lines, colours, strict=True) if not series.faint]
    if chart.style == "bundle":
        ends = sorted(shown, key=lambda pair: pair[0].finite[-1][1])
        shown = ends if len(ends) < 2 else [ends[-1], ends[0]]
    for series, colour in shown:
        last = series.finite[-1][1]
        wanted.append((y(last), series.name, compact(last), colour))
    wanted += [(y(value), name, compact(value), "quiet") for name, value in chart.levels.items()]
    wanted.sort()
    heights = [2 if name else 1 for _, name, _, _ in wanted]
    if LINE_HEIGHT * sum(heights) > HEIGHT - TOP:
        heights = [1] * len(wanted)
    tops = _apart([place - LINE_HEIGHT * n / 2 for (place, *_), n in zip(wanted, heights, strict=True)], heights)
    parts = []
    for (_, name, value, colour), top, height in zip(wanted, tops, heights, strict=True):
        rows = [(name, "name"), (value, "value")] if height == 2 else [(name or value, "name" if name else "value")]
        for number, (text, kind) in enumerate(rows):
            shown_text = text if len(text) <= 13 else f"{text[:12]}…"
            at = _at(top + LINE_HEIGHT * (number + 0.8))
            parts.append(tag("text", shown_text, class_=f"label {kind} {colour}", x=WIDTH - RIGHT + 8, y=at))
    return parts


def _apart(tops: list[float], heights: Sequence[int]) -> list[float]:
    """Move labels so that none overlaps the one above it, and none leaves the chart."""
    floor = HEIGHT - BOTTOM + 2.0
    for number in range(1, len(tops)):
        tops[number] = max(tops[number], tops[number - 1] + LINE_HEIGHT * heights[number - 1])
    for number in range(len(tops) - 1, -1, -1):
        tops[number] = min(tops[number], floor - LINE_HEIGHT * heights[number])
        floor = tops[number]
    return tops


def _at(place: float) -> str:
    """A coordinate with one decimal, as short as it goes."""
    return f"{place:.1f}".removesuffix(".0")
