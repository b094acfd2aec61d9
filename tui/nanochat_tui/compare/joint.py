"""The metrics of several runs as one store, in which a chart's curves are one metric of each run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nanochat_tui.chart_grid import NOT_SMOOTHED, ChartGrid
from nanochat_tui.chart_specs import ChartSpec, single
from nanochat_tui.charts.curve import Curve
from nanochat_tui.charts.view import View
from nanochat_tui.feed import MetricStore, RunFeed
from nanochat_tui.palette import SIGNS, palette

_BETWEEN = "\0"
"""Between a metric's name and the place of its run."""
TITLES = {
    "train/loss": ("loss  training, nats/token", True),
    "eval/loss": ("loss  held-out, nats/token", True),
    "eval/bits_per_byte": ("bits per byte  held-out", False),
    "train/grad_norm": ("gradient norm", True),
    "train/tokens_per_second": ("speed  tokens/s", False),
}
"""Metrics that are always compared -> title, and whether the key for logarithmic axes is meant for them."""


@dataclass(frozen=True)
class Compared:
    """One of the runs: what its files say, and its place in the palette."""

    feed: RunFeed
    place: int

    @property
    def sign(self) -> str:
        """What tells it apart without colours."""
        return SIGNS[self.place]

    @property
    def colour(self) -> str:
        """Its colour everywhere."""
        return palette().curves[self.place]


class JointStore(MetricStore):
    """The series of several stores; each has its run's place in its name."""

    def __init__(self, runs: Sequence[Compared]) -> None:
        super().__init__()
        self._parts = [(run.place, run.feed.store) for run in runs]

    def is_of(self, runs: Sequence[Compared]) -> bool:
        """Whether the runs' stores still are these: a file that began anew has another one."""
        return [(place, id(store)) for place, store in self._parts] == [(r.place, id(r.feed.store)) for r in runs]

    def bring_up_to_date(self) -> None:
        """Take in metrics that are new."""
        for place, store in self._parts:
            for name, series in store.series.items():
                self.series.setdefault(f"{name}{_BETWEEN}{place}", series)


class CompareGrid(ChartGrid):
    """Charts of one metric each, with a curve for each run that has it."""

    def __init__(self, view: View) -> None:
        super().__init__(view=view, id="compare-charts")

    def wanted(self, store: MetricStore) -> list[ChartSpec]:
        """The standard charts, of metrics that any run has, and those that were chosen."""
        found = [_spec(metric, store.series) for metric in (*_standard(store), *self.extra)]
        return [spec for spec in found if spec.metrics]

    def curve(self, name: str, label: str) -> Curve:
        """A run's curve, in its colour."""
        place = int(name.partition(_BETWEEN)[2])
        smooth = not name.startswith(NOT_SMOOTHED)
        return Curve(self.store.series[name], label, smooth, colour=place, sign=SIGNS[place])


def metric_names(store: MetricStore) -> list[str]:
    """The metrics that any run has, and no standard chart shows."""
    return sorted({name.partition(_BETWEEN)[0] for name in store.series} - set(_standard(store)))


def _standard(store: MetricStore) -> list[str]:
    """The metrics that always have a chart; of the learning rates the first one that runs differ in."""
    newest: dict[str, set[float]] = {}
    for name, series in sorted(store.series.items()):
        if name.startswith("train/learning_rate/") and len(series):
            newest.setdefault(name.partition(_BETWEEN)[0], set()).add(series.values.values[-1])
    rates = sorted(newest, key=lambda metric: len(newest[metric]) == 1)
    return [*TITLES, *rates[:1]]


def _spec(metric: str, names: Iterable[str]) -> ChartSpec:
    """The chart of a metric, with those of the series' names that are its own."""
    title, log_wanted = TITLES.get(metric, (single(metric).title, metric.startswith("train/learning_rate/")))
    places = sorted(name for name in names if name.partition(_BETWEEN)[0] == metric)
    return ChartSpec(title, tuple((name, name.partition(_BETWEEN)[2]) for name in places), log_wanted)
