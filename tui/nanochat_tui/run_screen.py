"""One run: charts, log, samples and events, brought up to date as its files grow."""

from __future__ import annotations

import time

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Log, Static, TabbedContent, TabPane, Tabs

from nanochat_framework.errors import NanochatError
from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.status import age
from nanochat_tui import formats
from nanochat_tui.chart_grid import ChartGrid
from nanochat_tui.chart_screen import ChartScreen
from nanochat_tui.chart_specs import others
from nanochat_tui.charts.ticks import short
from nanochat_tui.charts.view import View
from nanochat_tui.charts.widget import Chart
from nanochat_tui.feed import RunFeed, event_line
from nanochat_tui.footer import KeysFooter
from nanochat_tui.keys import KEYS, bindings
from nanochat_tui.layout import Memory
from nanochat_tui.log_tab import LogTab
from nanochat_tui.palette import palette, sign
from nanochat_tui.panels.pane import PanelsPane
from nanochat_tui.printable import printable
from nanochat_tui.steering import SteeringScreen
from nanochat_tui.system.pane import SystemPane

SHOW_SECONDS = 1.0
"""How often what depends on the clock alone is shown again, and the longest rest between two drawings."""
DRAWING_SHARE = 0.02
"""Of a core, that drawing what changed may take."""
N_SAMPLES = 40


class RunScreen(ChartScreen, SteeringScreen):
    """A run, looked at every `seconds`; what did not change is not drawn."""

    BINDINGS = bindings("run")
    AUTO_FOCUS = ""
    where = "run"

    def __init__(self, run: RunDirectory, seconds: float, memory: Memory) -> None:
        """`seconds` between two looks; the tab and how charts are drawn are remembered."""
        super().__init__()
        self.run = run
        self.seconds = seconds
        self.feed = RunFeed(run)
        self._last_shown: tuple[int, float] = (-1, 0.0)
        """The feed's version, and when it was."""
        self._to_draw, self._rest_until = False, 0.0
        self._memory, layout = memory, memory.layout
        known = [key.action for key in KEYS if "run" in key.where and key.name != "tab_panels"]
        self._first_tab = layout.tab if f"tab('{layout.tab}')" in known else "charts"
        self._view = View(axis=layout.axis, smoothing=layout.smoothing)
        self._shown: dict[str, object] = {}
        self._has_panels = False
        self._run_charts, self._tabbed = ChartGrid(view=self._view), TabbedContent(initial=self._first_tab)

    def compose(self) -> ComposeResult:
        """Two lines of heading, six tabs, keys."""
        yield Static(id="heading", markup=False)
        yield Static(id="figures", markup=False)
        with self._tabbed:
            with TabPane("Charts", id="charts"):
                yield self._run_charts
            with TabPane("Log", id="log"):
                yield LogTab()
            with TabPane("Samples", id="samples"), VerticalScroll():
                yield Static(id="sample-texts", markup=False)
            with TabPane("Events", id="events"):
                yield Log(id="event-lines", max_lines=10_000)
            with TabPane("System", id="system"):
                yield SystemPane(self.run, self._view)
            with TabPane("Panels", id="panels"):
                yield PanelsPane(self.run.path)
        yield KeysFooter()

    @property
    def grid(self) -> ChartGrid:
        """The charts that are to be seen, else the run's."""
        return self.query_one("#system-charts", ChartGrid) if self._tabbed.active == "system" else self._run_charts

    def on_mount(self) -> None:
        """Begin to look."""
        self.query_one(Tabs).can_focus = False  # the arrows are the charts'
        charts, layout = self._run_charts, self._memory.layout
        charts.extra, charts.log_scale = list(layout.metrics), layout.log_scale
        self._tabbed.hide_tab("panels")
        self.run_worker(self._find_panels(), group="find-panels", exit_on_error=False)
        self.look()
        self.set_interval(self.seconds, self.look)

    async def _find_panels(self) -> None:
        """A tab for plugins' panels, where there are some."""
        self._has_panels = await self.dashboard.some_have_panels()
        if self._has_panels:
            self._tabbed.show_tab("panels")

    def look(self) -> None:
        """Read a little, show what changed; at once again if there is more."""
        self.poll_requests()
        if not self.in_sight:
            return
        try:
            more = self.feed.poll()
        except OSError as error:
            self._say("#figures", f" {error.filename}: {error.strerror}")
            return
        version, at = self._last_shown
        if self.feed.version != version or time.monotonic() - at >= SHOW_SECONDS:
            self._last_shown = (self.feed.version, time.monotonic())
            self._headings()
            self._remember()
            self._to_draw = True
        if self._to_draw and time.monotonic() >= self._rest_until:
            self._to_draw = False
            began = time.process_time()
            self._tabs()
            self.call_after_refresh(self._drew, began)
        if more:
            self.catch_up(self.look)

    def _drew(self, began: float) -> None:
        """Drawing takes a small share of a core, for a training may have the same one."""
        rest = (time.process_time() - began) / DRAWING_SHARE
        self._rest_until = time.monotonic() + min(rest, SHOW_SECONDS)

    def _remember(self) -> None:
        self._memory.remember(
            tab=self._tabbed.active,
            metrics=tuple(self._run_charts.extra),
            axis=self._view.axis,
            smoothing=self._view.smoothing,
            log_scale=self._run_charts.log_scale,
        )

    async def action_quit(self) -> None:
        """Leave; what a key changed a moment ago is remembered, too."""
        self._remember()
        await super().action_quit()

    def recolour(self) -> None:
        """Write everything again, in other colours."""
        self._shown.clear()
        self._last_shown = (-1, 0.0)
        self.query_one(SystemPane).forget()
        self.look()
        for chart in self.query(Chart):
            chart.refresh()

    def _headings(self) -> None:
        run = self.feed.summary
        mark, style = sign(run.state)
        heading = Text.assemble(f" {run.title}  ", (f"{mark} {run.state}", style), f"  {formats.progress(run)}")
        if run.state == "lost" and run.heartbeat:
            heading.append(f"  last sign {age(time.time() - run.heartbeat)} ago")
        left = formats.left(run)
        heading.append(f"  ETA {left}" if left != "-" else "")
        alerts = sum(event.get("kind") == "alert" for event in self.feed.events)
        if alerts:
            heading.append(f"  ! {alerts} alert{'s' * (alerts > 1)}", palette().alert)
        figures = [
            f"loss {formats.decimals(run.loss)}",
            f"held-out {formats.decimals(run.eval_loss)}" if run.eval_loss is not None else "",
            f"bits/byte {formats.decimals(run.bits_per_byte)}" if run.bits_per_byte is not None else "",
            f"{short(run.tokens_per_second)} tokens/s" if run.tokens_per_second is not None else "",
            f"{short(run.tokens)} tokens" if run.tokens else "",
            f"attempt {run.attempt}" if run.attempt > 1 else "",
        ]
        self._say("#heading", heading)
        said = run.error or "   ".join(figure for figure in figures if figure)
        self._say("#figures", f" {self.dashboard.requests.line(self.run) or said}")

    def _say(self, selector: str, text: Text | str) -> None:
        if self._shown.get(selector) != text:
            self._shown[selector] = text
            self.query_one(selector, Static).update(text, layout=False)  # each has one line

    def _tabs(self) -> None:
        """The tab that is to be seen."""
        active = self._tabbed.active
        if active == "charts":
            self.grid.bring_up_to_date(self.feed.store)
        elif active == "log":
            self.query_one(LogTab).bring_up_to_date(self.feed)
        elif active == "system":
            self.query_one(SystemPane).bring_up_to_date(self.feed)
        elif active == "samples" and self._shown.get("samples") != len(self.feed.samples):
            self._shown["samples"] = len(self.feed.samples)
            self.query_one("#sample-texts", Static).update(self._samples())
        elif active == "events" and self._shown.get("events") != len(self.feed.events):
            self._shown["events"] = len(self.feed.events)
            log = self.query_one("#event-lines", Log)
            log.clear()
            log.write_lines([printable(event_line(event)) for event in self.feed.events])

    def _samples(self) -> Text:
        """The newest texts first; the prompt in bold."""
        text = Text()
        if not self.feed.samples:
            text.append("No samples. [sample] in the configuration asks for them.")
        for sample in reversed(self.feed.samples[-N_SAMPLES:]):
            text.append(printable(f"step {sample.get('step')}\n"), "dim")
            text.append(printable(str(sample.get("prompt", ""))), "bold")
            text.append(printable(f"{sample.get('text', '')}\n\n"))
        return text

    @on(TabbedContent.TabActivated)
    def _another_tab(self) -> None:
        if self._tabbed.active == "panels":
            self.query_one(PanelsPane).look()
        self._tabs()

    def target(self) -> RunDirectory:
        """This run."""
        return self.run

    def action_tab(self, tab: str) -> None:
        """Show a tab; the keys that scroll are for what is in it."""
        if tab == "panels":
            if not self._has_panels:
                self.notify("no plugin here has a panel")
                return
            self.query_one(PanelsPane).look()
        self._tabbed.active = tab
        scrolled = {
            "log": "#log-lines",
            "samples": "#samples VerticalScroll",
            "events": "#event-lines",
            "system": "#system-pane",
            "panels": "PanelsPane",
        }.get(tab)
        self.set_focus(self.query_one(scrolled) if scrolled else None)

    def action_back(self) -> None:
        """Out of the search, else to all runs."""
        if not self.query_one(LogTab).give_up():
            self.dismiss()

    def action_search(self) -> None:
        """Type a text that lines of the log are to have."""
        self.action_tab("log")
        self.query_one(LogTab).ask()

    def action_match(self, direction: int) -> None:
        """To the next line of the log that has it."""
        if self._tabbed.active == "log":
            self.query_one(LogTab).next_match(direction)

    def action_only_matches(self) -> None:
        """Only lines that have it, or all."""
        if self._tabbed.active == "log":
            self.query_one(LogTab).only_matches()

    def action_follow(self) -> None:
        """Follow the log, or stay."""
        if self._tabbed.active == "log":
            self.query_one(LogTab).view.toggle_follow()

    def charts_in_sight(self) -> bool:
        """Those of the run, or of its machine."""
        return self._tabbed.active in ("charts", "system")

    def action_metrics(self) -> None:
        """Choose further metrics, which stand among the run's charts."""
        self.action_tab("charts")
        super().action_metrics()

    def further_metrics(self) -> list[str]:
        """What no standard chart shows."""
        return others(self.feed.store.series)

    def changed(self, result: str | None = None) -> None:
        """Look at once."""
        self._last_shown = (-1, 0.0)
        try:
            self.look()
        except NanochatError as error:
            self.notify(str(error), severity="error", markup=False)
