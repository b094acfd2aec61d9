"""What a run takes of its machine: bars for now, alerts, and charts of what the training recorded."""

from __future__ import annotations

import time

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Container, VerticalScroll
from textual.widgets import Static

from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.status import Status, age, liveness, read_status, written_here
from nanochat_tui.chart_grid import ChartGrid
from nanochat_tui.chart_specs import system
from nanochat_tui.charts.view import View
from nanochat_tui.feed import MetricStore, RunFeed
from nanochat_tui.formats import bar
from nanochat_tui.palette import palette
from nanochat_tui.system.alerts import described, monitor_section
from nanochat_tui.system.figures import Figure, figures
from nanochat_tui.system.live import LiveReader

LIVE_SECONDS = 1.0
"""Between two looks at the process."""
SIDE_BY_SIDE = 110
"""From this width on alerts stand beside the figures."""
_PREFIX = "system/"
_WITH_PROCESS = ("running", "starting", "stopping", "paused")


class SystemPane(VerticalScroll):
    """The tab; `bring_up_to_date` is called while it is to be seen."""

    DEFAULT_CSS = """
    SystemPane { scrollbar-size-vertical: 1; }
    SystemPane #system-top { height: auto; layout: vertical; }
    SystemPane.wide #system-top { layout: horizontal; }
    SystemPane #system-figures { height: auto; width: 1fr; margin: 0 0 1 0; }
    SystemPane #system-alerts { height: auto; width: 1fr; margin: 0 0 1 0; }
    SystemPane ChartGrid { height: 1fr; min-height: 9; }
    """

    def __init__(self, run: RunDirectory, view: View) -> None:
        """`view`: that of the run's other charts, so that the cursor stands at one place."""
        super().__init__(id="system-pane")
        self.run = run
        self._view = view
        self._section = monitor_section(run)
        self._reader: LiveReader | None = None
        self._live: dict[str, float] = {}
        self._looked = 0.0
        self._shown: tuple[object, ...] = ()

    def compose(self) -> ComposeResult:
        """Figures, alerts, charts."""
        with Container(id="system-top"):
            yield Static(id="system-figures", markup=False)
            yield Static(id="system-alerts", markup=False)
        yield ChartGrid(system, view=self._view, id="system-charts")

    def on_resize(self) -> None:
        """Side by side where there is room."""
        self.set_class(self.size.width >= SIDE_BY_SIDE, "wide")
        self.forget()

    def forget(self) -> None:
        """Write everything again the next time."""
        self._shown = ()

    def bring_up_to_date(self, feed: RunFeed) -> None:
        """Show what there is; the process is looked at once a second at most."""
        status = read_status(self.run.status)
        if time.monotonic() - self._looked >= LIVE_SECONDS:
            self._looked = time.monotonic()
            self._live = self._read(status)
        wide = self.has_class("wide")
        width = max((self.size.width // 2 if wide else self.size.width) - 1, 1)
        logged = newest(feed.store)
        source = _source(self.run, status, bool(self._live), recorded(feed.store))
        text = _lines(source, figures(logged | self._live), width)
        alerts = [event for event in feed.events if event.get("kind") == "alert"]
        if (text, len(alerts)) != self._shown:
            self._shown = (text, len(alerts))
            self.query_one("#system-figures", Static).update(text)
            self.query_one("#system-alerts", Static).update(described(alerts, self._section))
        self.query_one(ChartGrid).bring_up_to_date(feed.store)

    def _read(self, status: Status | None) -> dict[str, float]:
        """The process as it is now, where it is on this machine and alive."""
        here = status is not None and status.pid is not None and written_here(status)
        if not here or liveness(status) not in _WITH_PROCESS:
            self._reader = None
            return {}
        assert status is not None and status.pid is not None
        if self._reader is None or self._reader.pid != status.pid:
            self._reader = LiveReader(status.pid, self.run.path)
        return self._reader.read() or {}


def newest(store: MetricStore) -> dict[str, float]:
    """The last of each reading that the training recorded, without `system/`."""
    found = {n: s for n, s in store.series.items() if n.startswith(_PREFIX) and len(s)}
    return {name.removeprefix(_PREFIX): series.values.values[-1] for name, series in found.items()}


def recorded(store: MetricStore) -> float | None:
    """When the last reading was recorded, in seconds since 1970; None without any."""
    ends = [s.places["time"][-1] for n, s in store.series.items() if n.startswith(_PREFIX) and len(s)]
    return None if not ends or store.began is None else store.began + max(ends)


def _source(run: RunDirectory, status: Status | None, live: bool, at: float | None) -> str:
    """Where the figures come from, and what cannot be shown."""
    if live and status is not None:
        return f"live: process {status.pid} on this machine; GPUs as recorded"
    state = liveness(status)
    if state in _WITH_PROCESS and status is not None:
        where = (
            "its process tells nothing" if written_here(status) else f"it trains on {status.host or 'another machine'}"
        )
        told = "nothing recorded yet" if at is None else f"recorded {age(time.time() - at)} ago"
        return f"{where}; {told}; cores in all, threads and disk traffic cannot be seen from here"
    if at is None:
        return f"{state}; no readings were recorded ([monitor] every_seconds = 0 switches them off)"
    return f"{state}; as last recorded, {age(time.time() - at)} ago"


def _lines(source: str, found: list[Figure], width: int) -> Text:
    """The figures in columns, below them where they come from."""
    bar_width = max(min(width - 48, 30), 0)
    text = Text()
    before = ""
    for figure in found:
        text.append(f"{figure.name if figure.name != before else '':<8}", "bold")
        text.append(f"{figure.part:<8} ", "dim")
        colour = palette().alert if figure.full else palette().good
        if bar_width >= 4:
            text.append(bar(figure.share, bar_width) if figure.share is not None else " " * bar_width, colour)
        text.append(f" {'! ' * figure.full}{figure.text}\n", colour if figure.full else "")
        before = figure.name
    if found and not any(figure.name.startswith("GPU") for figure in found):
        text.append(f"{'GPU':<8}", "bold")
        text.append("no readings (a CPU run, or no extra `gpu`)\n", "dim")
    text.append(source, "italic")
    return text
