"""What a report draws: charts put together from a run's metrics, thinned out so that no peak is lost."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

from nanochat_framework.runs.jsonlines import Record
from nanochat_framework.runs.metrics import describe

Point = tuple[float, float]
MOST_POINTS = 800
"""Of a line; a chart is about as many device pixels wide."""
MANY_POINTS, MANY_LINES = 60, 4
"""More points are drawn faintly, with their mean; more lines of one kind are not told apart."""

_CORES = {"system/cpu_cores": "this process", "system/machine_cpu_cores": "whole machine"}


@dataclass(frozen=True)
class Series:
    """A line. `faint`: drawn behind and without a name; `dots`: few values, each shown."""

    name: str
    points: tuple[Point, ...]
    faint: bool = False
    dots: bool = False

    @cached_property
    def finite(self) -> tuple[Point, ...]:
        """The points that can be drawn."""
        return tuple(point for point in self.points if math.isfinite(point[1]))


@dataclass(frozen=True)
class Chart:
    """Lines over steps, in one unit; `levels` are horizontal lines by name, `logarithmic` the vertical axis."""

    title: str
    unit: str
    series: tuple[Series, ...]
    levels: dict[str, float] = field(default_factory=dict)
    logarithmic: bool = False
    from_zero: bool = False
    steps: tuple[float, float] = (0.0, 1.0)
    """The horizontal axis, the same in all charts of a run."""
    note: str = ""
    style: Literal["lines", "bundle"] = "lines"
    """`bundle`: many lines of one kind, whose names are not told apart."""

    @property
    def named(self) -> tuple[Series, ...]:
        """The lines that have a name."""
        return tuple(series for series in self.series if not series.faint)


def charts(records: Sequence[Record], baselines: dict[str, float]) -> list[Chart]:
    """Every chart that the records give something for, in the order of a report."""
    found = [
        _loss(records),
        _bits(records, baselines),
        _learning_rates(records),
        _one(records, "train/grad_norm", "Gradient norm", "L2, before clipping", logarithmic=True),
        _one(records, "train/tokens_per_second", "Speed", "tokens/s", from_zero=True),
        _one(records, "train/mfu", "Share of the device's peak", "MFU, 0 to 1", from_zero=True),
        _memory(records),
        _named(records, "Terms of the loss", _terms(records), ""),
        _one(records, "train/tokens_kept", "Tokens learned from", "share of all", from_zero=True),
        _named(records, "Cores kept busy", list(_CORES), "cores", from_zero=True),
        *_per_place(records, "system/gpu_", "GPU"),
        *_per_place(records, "model/", "Model"),
    ]
    steps = [float(record["step"]) for record in records]
    axis = (0.0 if min(steps, default=0) <= 0.1 * max(steps, default=0) else min(steps), max([1.0, *steps]))
    return [_thinned(chart, axis) for chart in found if chart is not None]


def _thinned(chart: Chart, steps: tuple[float, float]) -> Chart:
    series = tuple(replace(each, points=decimate(each.points)) for each in chart.series)
    return replace(chart, series=series, steps=steps)


def values(records: Sequence[Record], name: str) -> tuple[Point, ...]:
    """(step, value) of every record that has the metric."""
    return tuple((float(r["step"]), float(r[name])) for r in records if isinstance(r.get(name), int | float))


def decimate(points: Sequence[Point], most: int = MOST_POINTS) -> tuple[Point, ...]:
    """At most so many points that look the same.

    Of each stretch the first, the least, the largest and the last are kept, and one that is no number, where lines break.
    """
    if len(points) <= most:
        return tuple(points)
    stretches = max(most // 5, 1)
    kept: list[Point] = []
    for number in range(stretches):
        part = range(number * len(points) // stretches, (number + 1) * len(points) // stretches)
        known = [i for i in part if math.isfinite(points[i][1])]
        gap = next((i for i in part if not math.isfinite(points[i][1])), None) if len(known) < len(part) else None
        chosen = {gap} if gap is not None else set()
        if known:
            low, high = min(known, key=lambda i: points[i][1]), max(known, key=lambda i: points[i][1])
            chosen |= {known[0], low, high, known[-1]}
        kept += [points[i] for i in sorted(chosen)]
    return tuple(kept)


def smoothed(points: Sequence[Point]) -> tuple[Point, ...]:
    """The mean over about a thirtieth of the points around each.

    At the beginning, where losses fall steeply, over fewer, as many on both sides; at the end over those before.
    """
    sums, counts = [0.0], [0]
    for _, value in points:
        known = math.isfinite(value)
        sums.append(sums[-1] + (value if known else 0.0))
        counts.append(counts[-1] + known)
    out = []
    for number, (step, _) in enumerate(points):
        reach = min(max(len(points) // 60, 1), number)
        low, high = number - reach, min(number + reach + 1, len(points))
        if counts[high] > counts[low]:
            out.append((step, (sums[high] - sums[low]) / (counts[high] - counts[low])))
    return tuple(out)


def _loss(records: Sequence[Record]) -> Chart | None:
    training, held_out = values(records, "train/loss"), values(records, "eval/loss")
    begin = _after_the_fall(training)
    training, held_out = (tuple(point for point in line if point[0] >= begin) for line in (training, held_out))
    series = with_mean("training", training)
    if held_out:
        series.append(Series("held-out", held_out, dots=True))
    notes = ["Single records are the faint line."] if len(series) > len({each.name for each in series}) else []
    notes += [f"Steps before {begin:,.0f} lie above and are left out."] if begin else []
    return Chart("Loss", "nats per token", tuple(series), note=" ".join(notes)) if series else None


def with_mean(name: str, points: tuple[Point, ...]) -> list[Series]:
    """A line; of many points the points faintly, and their running mean."""
    if len(points) > MANY_POINTS:
        return [Series(name, points, faint=True), Series(name, smoothed(points))]
    return [Series(name, points)] if points else []


def _after_the_fall(points: Sequence[Point]) -> float:
    """The step that a long loss curve is drawn from: 0, or 3 % of it where those take up most of the height."""
    known = [point for point in points if math.isfinite(point[1])]
    if len(known) < 200:
        return 0.0
    rest = known[len(known) * 3 // 100 :]
    lowest = min(value for _, value in known)
    fall, height = known[0][1] - lowest, sorted(value for _, value in rest)[-1 - len(rest) // 100] - lowest
    return rest[0][0] if fall > 2 * height else 0.0


def _bits(records: Sequence[Record], baselines: dict[str, float]) -> Chart | None:
    points = values(records, "eval/bits_per_byte")
    if not points:
        return None
    note = "Dashed: what general compressors need for the same text." if baselines else ""
    return Chart(
        "Bits per byte of held-out text",
        "bits per byte",
        (Series("held-out", points, dots=True),),
        baselines,
        from_zero=True,
        note=note,
    )


def _learning_rates(records: Sequence[Record]) -> Chart | None:
    """Rates of groups differ by factors of a hundred and follow one schedule: each is shown as a share of its peak."""
    names = _names(records, "train/learning_rate/")
    groups: dict[tuple[Point, ...], list[str]] = {}
    for name in names:
        points = values(records, name)
        peak = max((value for _, value in points if math.isfinite(value)), default=0.0)
        if peak > 0:
            share = tuple((step, round(value / peak, 6)) for step, value in points)
            groups.setdefault(share, []).append(f"{name.rpartition('/')[2]} {peak:g}")
    if not groups:
        return None
    series = tuple(Series(", ".join(labels), points) for points, labels in groups.items())
    peaks = "; ".join(series.name for series in series)
    return Chart("Learning rates", "share of the peak", _short(series), from_zero=True, note=f"Peaks: {peaks}.")


def _short(series: tuple[Series, ...]) -> tuple[Series, ...]:
    """Names without the peaks."""
    return tuple(
        Series(", ".join(part.rpartition(" ")[0] for part in each.name.split(", ")), each.points) for each in series
    )


def _one(
    records: Sequence[Record], name: str, title: str, unit: str, *, logarithmic: bool = False, from_zero: bool = False
) -> Chart | None:
    points = values(records, name)
    if not points:
        return None
    return Chart(
        title, unit, tuple(with_mean("", points)), logarithmic=logarithmic and _spread(points) > 30, from_zero=from_zero
    )


def _spread(points: Sequence[Point]) -> float:
    """How many times the median the largest value is, for positive values; 0 where some are not positive."""
    known = sorted(value for _, value in points if math.isfinite(value))
    return known[-1] / known[len(known) // 2] if known and known[0] > 0 else 0.0


def _memory(records: Sequence[Record]) -> Chart | None:
    names = {"process": "system/memory_resident_bytes"}
    names |= {f"GPU {n.rpartition('.')[2]}": n for n in _names(records, "system/gpu_memory_bytes.")}
    series = []
    for label, name in names.items():
        points = tuple((step, value / 1e9) for step, value in values(records, name))
        series += [Series(label, points)] if points else []
    return Chart("Memory", "GB", tuple(series), from_zero=True) if series else None


def _terms(records: Sequence[Record]) -> list[str]:
    """Losses other than the plain one: objectives, what is optimised, that of the tokens which a filter kept."""
    shown = ("train/loss", "train/grad_norm", "train/tokens_per_second", "train/data_wait_seconds")
    rest = ("train/skipped_steps", "train/loss_scale", "train/mfu", "train/tokens_kept")
    terms = [name for name in _names(records, "train/") if name.count("/") == 1 and name not in (*shown, *rest)]
    total = values(records, "train/total_loss")
    same = total == values(records, "train/loss")
    return [name for name in terms if not (same and name == "train/total_loss")]


def _named(
    records: Sequence[Record], title: str, names: Sequence[str], unit: str, *, from_zero: bool = False
) -> Chart | None:
    series = []
    for name in names:
        points = values(records, name)
        label = _CORES.get(name) or name.rpartition("/")[2].replace("_", " ")
        series += [Series(label, smoothed(points) if len(points) > MANY_POINTS else points)] if points else []
    return Chart(title, unit, tuple(series), from_zero=from_zero) if series else None


def _per_place(records: Sequence[Record], prefix: str, heading: str) -> Iterator[Chart | None]:
    """A chart for each reading, with a line for each of its places."""
    readings: dict[str, list[str]] = {}
    for name in _names(records, prefix):
        if "memory" not in name:  # they have a chart of their own
            readings.setdefault(name.partition(".")[0], []).append(name)
    for reading, names in readings.items():
        metric = describe(reading)
        label = reading.rpartition("/")[2].removeprefix("gpu_").replace("_", " ")
        label = label.removesuffix(" share").removesuffix(" watts").removesuffix(" celsius")
        many = len(names) > MANY_LINES
        series: list[Series] = []
        for name in names:
            place, points = name.partition(".")[2], values(records, name)
            known = "" if not place else f"GPU {place}" if heading == "GPU" else place
            series += [Series(known, smoothed(points))] if many else with_mean(known, points)
        unit = metric.unit if metric else ""
        yield Chart(f"{heading}: {label}", unit, tuple(series), style="bundle" if many else "lines")


def _names(records: Sequence[Record], prefix: str) -> list[str]:
    """Metrics with a prefix, in the order in which they first appear."""
    return list(dict.fromkeys(key for record in records for key in record if key.startswith(prefix)))
