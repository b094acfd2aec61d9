"""Runs side by side: their curves in one chart, their configurations, their scores, their texts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static, TabbedContent, TabPane, Tabs

from nanochat_framework.errors import NanochatError
from nanochat_framework.runs.compare import compare
from nanochat_framework.runs.directory import RunDirectory
from nanochat_tui.chart_screen import ChartScreen
from nanochat_tui.charts.ticks import short
from nanochat_tui.charts.view import View
from nanochat_tui.charts.widget import Chart
from nanochat_tui.compare.joint import Compared, CompareGrid, JointStore, metric_names
from nanochat_tui.compare.tables import config_rows, fill, metric_rows
from nanochat_tui.compare.texts import side_by_side
from nanochat_tui.feed import RunFeed
from nanochat_tui.footer import KeysFooter
from nanochat_tui.keys import bindings
from nanochat_tui.text_table import TextTable

BUSY_SECONDS = 0.04
"""So long a look may read."""
DRAW_SECONDS = 1.0
"""Between two drawings of curves that grow: many curves of many runs take their time."""
COMPARE_SECONDS = 2.0
"""Between two comparisons of figures, where something changed."""


class CompareScreen(ChartScreen):
    """Two to seven runs, each with its place in the palette; those that train are followed."""

    BINDINGS = bindings("compare")
    AUTO_FOCUS = ""
    where = "compare"
    DEFAULT_CSS = """
    CompareScreen #legend { height: auto; max-height: 4; padding: 0 1; background: $panel; }
    CompareScreen #compare-charts { height: 1fr; scrollbar-size-vertical: 1; }
    CompareScreen .note { height: auto; color: $text-muted; padding: 0 1 1 1; }
    CompareScreen #compared-texts { height: auto; }
    """

    def __init__(self, runs: Sequence[tuple[RunDirectory, int]], seconds: float) -> None:
        """`runs` with their places in the palette; looked at every `seconds`."""
        super().__init__()
        self.runs = [Compared(RunFeed(run), place) for run, place in runs]
        self.seconds = seconds
        self.store = JointStore(self.runs)
        self._next = 0
        self._drawn = 0.0
        self._shown: dict[str, object] = {}
        self._compared: tuple[object, float] = (None, 0.0)

    def compose(self) -> ComposeResult:
        """Heading, who is who, four tabs, keys."""
        yield Static(id="heading", markup=False)
        yield Static(id="legend", markup=False)
        with TabbedContent(initial="compare-charts-tab"):
            with TabPane("Charts", id="compare-charts-tab"):
                yield CompareGrid(View(legend="signs", signs_on_lines=self.app.no_color))
            with TabPane("Configuration", id="differences"):
                yield Static(id="differences-note", classes="note", markup=False)
                yield TextTable(id="differences-table", cursor_type="row", zebra_stripes=False, fixed_columns=1)
            with TabPane("Metrics", id="finals"):
                yield Static("▸ the best of a row", id="finals-note", classes="note", markup=False)
                yield TextTable(id="finals-table", cursor_type="row", zebra_stripes=False, fixed_columns=1)
            with TabPane("Samples", id="texts"), VerticalScroll(id="texts-scroll"):
                yield Static(id="compared-texts", markup=False)
        yield KeysFooter()

    @property
    def grid(self) -> CompareGrid:
        """The charts."""
        return self.query_one(CompareGrid)

    @property
    def active(self) -> str:
        """The tab that is to be seen."""
        return self.query_one(TabbedContent).active

    def charts_in_sight(self) -> bool:
        """Only in their tab."""
        return self.active == "compare-charts-tab"

    def further_metrics(self) -> list[str]:
        """What any of the runs has, beside the standard charts."""
        return metric_names(self.store)

    def on_mount(self) -> None:
        """Begin to look."""
        self.query_one(Tabs).can_focus = False  # the arrows are the charts'
        self.look()
        self.set_interval(self.seconds, self.look)

    def recolour(self) -> None:
        """Write everything again, in other colours."""
        self._shown.clear()
        self._compared = (None, 0.0)
        self.look()
        for chart in self.query(Chart):
            chart.refresh()

    def look(self) -> None:
        """Read a little of each run, show what changed; at once again if there is more."""
        self.poll_requests()
        if not self.in_sight:
            return
        more = self._read()
        if not self.store.is_of(self.runs):
            self.store = JointStore(self.runs)
        self.store.bring_up_to_date()
        self._headings()
        if not self.charts_in_sight() or time.monotonic() - self._drawn > DRAW_SECONDS:
            self._tabs()
        if more:
            self.catch_up(self.look)

    def _read(self) -> bool:
        """Poll the runs in turn for as long as a look may take; whether there is more."""
        more, begun = False, time.monotonic()
        for count in range(len(self.runs)):
            feed = self.runs[(self._next + count) % len(self.runs)].feed
            try:
                more |= feed.poll()
            except OSError as error:
                self._say("#heading", f" {error.filename}: {error.strerror}")
            if time.monotonic() - begun > BUSY_SECONDS:
                self._next += count + 1
                return more or count + 1 < len(self.runs)
        return more

    def _headings(self) -> None:
        view = self.grid.view
        smoothing = f"  smoothing {view.smoothing:g}" if view.smoothing else ""
        self._say("#heading", f" compare {len(self.runs)} runs   x: {view.axis}{smoothing}")
        legend = Text(overflow="fold")
        for number, run in enumerate(self.runs):
            summary = run.feed.summary
            legend.append("    " if number else "")
            legend.append(f"{run.sign} {summary.called}", f"bold {run.colour}")
            done = f" {short(summary.step)}/{short(summary.total_steps)}" if summary.state != "finished" else ""
            legend.append(f" {summary.state}{done}".replace(" ", "\u00a0"), "dim")
        self._say("#legend", legend)

    def _say(self, selector: str, text: Text | str) -> None:
        if self._shown.get(selector) != text:
            self._shown[selector] = text
            self.query_one(selector, Static).update(text)

    @on(TabbedContent.TabActivated)
    def _tabs(self) -> None:
        """Bring up to date what is to be seen."""
        if self.active == "compare-charts-tab":
            self.grid.bring_up_to_date(self.store)
            self._drawn = time.monotonic()
        elif self.active == "texts":
            state = (tuple(len(run.feed.samples) for run in self.runs), self.size.width)
            if self._shown.get("texts") != state:
                self._shown["texts"] = state
                self.query_one("#compared-texts", Static).update(side_by_side(self.runs, self.size.width - 4))
        else:
            self._compare_again()

    def _compare_again(self) -> None:
        state, at = self._compared
        now = (self.store.version, tuple(run.feed.summary.state for run in self.runs))
        if state != now and time.monotonic() - at > COMPARE_SECONDS:
            self._compared = (now, time.monotonic())
            self._compare()

    @work(exclusive=True)
    async def _compare(self) -> None:
        """Read configurations and newest values, beside the screen's own work, and show them."""
        try:
            found = await asyncio.to_thread(compare, [run.feed.run for run in self.runs])
        except (NanochatError, OSError) as error:
            self._say("#differences-note", str(error))
            return
        differ = len(found.config)
        self._say(
            "#differences-note", f"{differ} key{'s' * (differ != 1)} differ{'s' * (differ == 1)}; all others are alike"
        )
        fill(self.query_one("#differences-table", TextTable), self.runs, config_rows(found))
        fill(self.query_one("#finals-table", TextTable), self.runs, metric_rows(found))

    def on_resize(self) -> None:
        """Texts beside each other have another width."""
        self.call_after_refresh(self._tabs)

    def action_tab(self, tab: str) -> None:
        """Show a tab; the keys that scroll are for what is in it."""
        self.query_one(TabbedContent).active = tab
        scrolled = {"differences": "#differences-table", "finals": "#finals-table", "texts": "#texts-scroll"}.get(tab)
        self.set_focus(self.query_one(scrolled) if scrolled else None)
