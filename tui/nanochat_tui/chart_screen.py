"""The keys of screens that have charts: scroll, cursor, zoom, axis, smoothing, scale, choice of metrics."""

from __future__ import annotations

from collections.abc import Callable

from nanochat_tui.base_screen import DashboardScreen
from nanochat_tui.chart_grid import ChartGrid
from nanochat_tui.dialogs import Choose

CATCH_UP_SECONDS = 0.01
"""Pause between two looks while there is more to read."""


class ChartScreen(DashboardScreen):
    """A screen with a grid of charts."""

    _catching_up = False

    @property
    def grid(self) -> ChartGrid:
        """The charts that the keys are for."""
        return self.query_one(ChartGrid)

    def catch_up(self, look: Callable[[], None]) -> None:
        """Look again at once, as there is more to read; one such look waits at a time, however often the clock asks."""

        def again() -> None:
            self._catching_up = False
            look()

        if not self._catching_up:
            self._catching_up = True
            self.set_timer(CATCH_UP_SECONDS, again)

    def charts_in_sight(self) -> bool:
        """Whether the charts are to be seen."""
        return True

    def further_metrics(self) -> list[str]:
        """Names of metrics that have a chart only where one is asked for."""
        return []

    def action_scroll(self, direction: int) -> None:
        """Scroll the charts by half a screen."""
        self.grid.scroll_relative(y=direction * max(self.grid.size.height // 2, 1), animate=False)

    def action_cursor(self, direction: int) -> None:
        """Move the cursor by a fiftieth of what is shown."""
        span = self.grid.span()
        if span and self.charts_in_sight():
            self.grid.view.move(direction / 50, span)
            self.grid.redraw()

    def _in_sight(self) -> bool:
        """Whether the charts are; else it is said, for nothing changes where it cannot be seen."""
        if not self.charts_in_sight():
            self.notify("that is about charts, which are in another tab", severity="warning")
            return False
        return True

    def action_zoom(self, factor: float) -> None:
        """See less or more."""
        span = self.grid.span()
        if self._in_sight() and span:
            self.grid.view.scale(factor, span)
            self.grid.redraw()

    def action_everything(self) -> None:
        """Neither zoom nor cursor."""
        if self._in_sight():
            self.grid.view.zoom = self.grid.view.cursor = None
            self.grid.redraw()

    def action_axis(self) -> None:
        """The next x axis."""
        if self._in_sight():
            self.grid.view.next_axis()
            self.grid.redraw()

    def action_smooth(self) -> None:
        """The next smoothing."""
        if self._in_sight():
            self.grid.view.next_smoothing()
            self.grid.redraw()

    def action_log_scale(self) -> None:
        """Logarithmic y axes, or not."""
        if self._in_sight():
            self.grid.log_scale = not self.grid.log_scale
            self.grid.redraw()

    def action_metrics(self) -> None:
        """Choose further metrics."""
        if not self._in_sight():
            return
        names, grid = self.further_metrics(), self.grid

        def chosen(result: list[str] | None) -> None:
            if result is not None:
                grid.extra = [*result, *(name for name in grid.extra if name not in names)]
                grid.bring_up_to_date(grid.store)

        if names:
            self.app.push_screen(Choose("Further charts", names, grid.extra), chosen)
        else:
            self.notify("every metric has a chart already")
