"""A run's charts in a grid that fits the screen."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from textual.containers import VerticalScroll
from textual.geometry import Size

from nanochat_tui.chart_specs import ChartSpec, single, standard
from nanochat_tui.charts.curve import Curve
from nanochat_tui.charts.spread import Spread
from nanochat_tui.charts.view import View
from nanochat_tui.charts.widget import Chart
from nanochat_tui.feed import MetricStore

LEAST_WIDTH, LEAST_HEIGHT = 38, 8
"""A chart is no smaller than this where there is more than one in a row, or more rows than fit."""
NOT_SMOOTHED = ("eval/", "train/learning_rate/")
"""Metrics without noise, or with too few points."""


class ChartGrid(VerticalScroll):
    """Charts of one view; it scrolls where they do not fit."""

    can_focus = False

    def __init__(
        self,
        specs: Callable[[Iterable[str]], list[ChartSpec]] = standard,
        *,
        view: View | None = None,
        id: str = "charts-grid",
    ) -> None:
        """`specs`: which charts there are, by the names of metrics."""
        super().__init__(id=id)
        self.view = view or View()
        self._specs_of = specs
        self.store = MetricStore()
        self.extra: list[str] = []
        """Metrics that were chosen beside the standard ones."""
        self.log_scale = False
        self._specs: list[ChartSpec] = []
        self._charts: list[Chart] = []
        self._spreads: list[Spread] = []

    def span(self) -> tuple[float, float] | None:
        """The whole x axis."""
        return self.store.span(self.view.axis)

    def bring_up_to_date(self, store: MetricStore) -> None:
        """Show what a store holds: other charts if there are other metrics, else those whose data changed."""
        specs = self.wanted(store)
        if store is not self.store or specs != self._specs:
            self.store, self._specs, self._spreads = store, specs, []
            self.remove_children()
            self._charts = [self._chart(spec) for spec in specs]
            self.mount_all(self._charts)
            self.lay_out(self.size)
            return
        for spread in self._spreads:
            spread.bring_up_to_date()
        for chart in self._charts:
            chart.update()

    def wanted(self, store: MetricStore) -> list[ChartSpec]:
        """The charts of what a store holds."""
        return [*self._specs_of(store.series), *(single(name) for name in self.extra if name in store.series)]

    def curve(self, name: str, label: str) -> Curve:
        """The curve of one series of the store."""
        return Curve(self.store.series[name], label, smooth=not name.startswith(NOT_SMOOTHED))

    def _chart(self, spec: ChartSpec) -> Chart:
        curves = [self.curve(name, label) for name, label in spec.metrics]
        if spec.spread_of:
            spread = Spread([self.store.series[name] for name in spec.spread_of])
            spread.bring_up_to_date()
            self._spreads.append(spread)
            curves = [Curve(series, label) for series, label in spread.curves]
        return Chart(spec.title, curves, self.view, log=self.log_scale and spec.log_wanted, span=self.span)

    def lay_out(self, size: Size) -> None:
        """As many columns and rows as are readable."""
        count = max(len(self._specs), 1)
        columns = max(1, min(size.width // LEAST_WIDTH, 3 if count > 4 else 2, count))
        rows = -(-count // columns)
        self.styles.layout = "grid"
        self.styles.grid_size_columns = columns
        self.styles.grid_gutter_vertical = 2
        self.styles.grid_rows = str(max(size.height // rows, LEAST_HEIGHT))

    def on_resize(self) -> None:
        """Another size, another grid."""
        self.lay_out(self.size)

    def redraw(self) -> None:
        """The view changed."""
        for chart, spec in zip(self._charts, self._specs, strict=True):
            chart.log_scale = self.log_scale and spec.log_wanted
            chart.update()

    def on_chart_viewed(self) -> None:
        """The mouse moved the cursor of one, and so of all."""
        self.redraw()
