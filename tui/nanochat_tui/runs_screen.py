"""All runs of a folder in one table."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from rich.text import Text
from textual import events, on, work
from textual.app import ComposeResult
from textual.widgets import Input, Static

from nanochat_framework.errors import NanochatError, UsageError
from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.removal import folder_size, remove
from nanochat_framework.runs.status import listens, liveness, read_status
from nanochat_framework.runs.summary import RunSummary
from nanochat_tui.charts.ticks import short
from nanochat_tui.compare.marks import Marks
from nanochat_tui.dialogs import Ask
from nanochat_tui.filters import parse
from nanochat_tui.footer import KeysFooter
from nanochat_tui.formats import BESIDE, COLUMNS, Column, columns
from nanochat_tui.keys import bindings, hint
from nanochat_tui.layout import Memory
from nanochat_tui.palette import SIGNS, STATE_SIGNS, palette, sign
from nanochat_tui.printable import printable
from nanochat_tui.requests import Answer
from nanochat_tui.steering import SteeringScreen
from nanochat_tui.text_table import TextTable
from nanochat_tui.watch import FIELDS, RunsWatch

REFRESH_SECONDS = 1.0
_LIVE_FIRST = ("running", "starting", "stopping", "paused")


class RunsScreen(SteeringScreen):
    """The table; it is read again once a second and drawn again when something changed."""

    BINDINGS = bindings("runs")
    where = "runs"

    def __init__(self, runs_dir: Path, wanted: str, memory: Memory) -> None:
        """`wanted`: a filter; order and filter are remembered."""
        super().__init__()
        self._memory = memory
        self.listing = RunsWatch(runs_dir)
        self.filter_text = wanted
        self._filter = parse(wanted)
        self.marks = Marks()
        self._sort = next((column for column in COLUMNS if column.name == memory.layout.sort), None)
        """None: those that train first, then the newest."""
        self._reverse = memory.layout.reverse
        self._shown: list[tuple[str, tuple[str, ...]]] = []
        self._columns: tuple[object, ...] = ()

    def compose(self) -> ComposeResult:
        """Heading, filter, table, keys."""
        yield Static(id="heading", markup=False)
        yield Input(self.filter_text, placeholder="lr>0.01 and state=running", id="filter", compact=True)
        yield TextTable(cursor_type="row", zebra_stripes=False, cell_padding=1)
        yield Static(id="nothing", markup=False)
        yield KeysFooter()

    def on_mount(self) -> None:
        """Show what there is at once, then look once a second."""
        self.query_one("#filter").display = bool(self.filter_text)
        self.listing.poll()
        self.show_runs()
        self.set_focus(self.query_one(TextTable))
        self.set_interval(REFRESH_SECONDS, self.look)

    def look(self) -> None:
        """Read again, where the screen is to be seen."""
        self.poll_requests()
        if not self.in_sight:
            return
        if self.listing.poll() or any(run.state == "running" for run in self.listing.runs):
            self.show_runs()
        else:
            self._heading(self.ordered())

    def on_screen_resume(self) -> None:
        """Back from a run."""
        self.listing.poll()
        self.show_runs()

    def on_resize(self, event: events.Resize) -> None:
        """Other columns have room."""
        self.show_runs()

    def ordered(self) -> list[RunSummary]:
        """The runs that the filter means, as they are to be shown."""
        runs = self.listing.matching(self._filter)
        if self._sort is None:
            runs.sort(key=_live_first)
        else:
            runs.sort(key=self._sort.key)
        return runs[::-1] if self._reverse else runs

    def show_runs(self) -> None:
        """Bring the table up to date, cell by cell where the order is the same."""
        self._memory.remember(
            sort=self._sort.name if self._sort else "", reverse=self._reverse, filter=self.filter_text
        )
        self.marks.forget_others({run.path for run in self.listing.runs})
        table, runs, wanted = self.query_one(TextTable), self.ordered(), self._wanted()
        name_width = self._name_width(wanted)
        heads = tuple((column.name, column is self._sort, self._reverse, name_width) for column in wanted)
        rows = [(run.path, tuple(self._text(column, run) for column in wanted)) for run in runs]
        states = {run.path: run.state for run in runs}
        if heads != self._columns or [path for path, _ in rows] != [path for path, _ in self._shown]:
            self._rebuild(table, wanted, name_width, rows, states)
            self._columns = heads
        else:
            for (path, before), (_, now) in zip(self._shown, rows, strict=True):
                for column, old, new in zip(wanted, before, now, strict=True):
                    if old != new:
                        table.update_cell(path, column.name, self._cell(column, new, path, states[path], name_width))
        self._shown = rows
        self._heading(runs)

    def recolour(self) -> None:
        """The states' colours are others."""
        self._columns = ()
        self.show_runs()

    def _text(self, column: Column, run: RunSummary) -> str:
        """A cell's text; a marked run has its sign before its name."""
        if column.name != "name" or not self.marks:
            return column.text(run)
        place = self.marks.place(run.path)
        return f"{' ' if place is None else SIGNS[place]} {run.title}"

    def _cell(self, column: Column, text: str, path: str, state: str, name_width: int) -> Text:
        cell = _cell(column, text, state, name_width)
        place = self.marks.place(path) if column.name == "name" else None
        if place is not None:
            cell.stylize(f"bold {palette().curves[place]}", 0, 1)
        return cell

    def _wanted(self) -> list[Column]:
        """The columns that there is room for."""
        return columns(self.size.width, self._longest())

    def _longest(self) -> int:
        """Cells of the longest name, with the sign of a mark."""
        return max((len(run.title) for run in self.listing.runs), default=4) + 2 * bool(self.marks)

    def _name_width(self, wanted: list[Column]) -> int:
        """What the other columns leave to the name, no more than the longest."""
        others = sum(column.width + 2 for column in wanted if column.name != "name")
        return max(min(self.size.width - others - BESIDE, self._longest()), 8)

    def _rebuild(
        self,
        table: TextTable,
        wanted: list[Column],
        name_width: int,
        rows: list[tuple[str, tuple[str, ...]]],
        states: dict[str, str],
    ) -> None:
        chosen, place = self.selected_path(), table.cursor_row
        table.clear(columns=True)
        for column in wanted:
            arrow = ("▲" if self._reverse else "▼") if column is self._sort else ""
            width = name_width if column.name == "name" else column.width
            label = Text(f"{column.name}{arrow}", justify="right" if column.right else "left")
            table.add_column(label, width=width, key=column.name)
        for path, cells in rows:
            table.add_row(
                *[self._cell(c, text, path, states[path], name_width) for c, text in zip(wanted, cells, strict=True)],
                key=path,
            )
        paths = [path for path, _ in rows]
        if chosen is not None and paths:  # one that is gone leaves the cursor where it was
            place = paths.index(chosen) if chosen in paths else min(place, len(paths) - 1)
            table.move_cursor(row=place, animate=False)

    def _heading(self, runs: list[RunSummary]) -> None:
        counts = Counter(run.state for run in self.listing.runs)
        states = "  ".join(
            f"{sign(state)[0]} {count} {state}" for state, count in sorted(counts.items()) if state in STATE_SIGNS
        )
        total = len(self.listing.runs)
        shown = "" if len(runs) == total else f"{len(runs)} of "
        marked = f"  {len(self.marks)} marked: {hint('compare')} compares" if self.marks else ""
        heading = f" nanochat  {shown}{total} run{'s' * (total != 1)}  {states}{marked}  in {self.listing.runs_dir}"
        widget, nothing = self.query_one("#heading", Static), self.query_one("#nothing", Static)
        if line := self.dashboard.requests.line():
            heading = f" {line}"
        if str(widget.content) != heading:
            widget.update(heading)
        nothing.display = not runs
        if not runs:
            why = (
                f"No run is like {self.filter_text!r}; {hint('back')} shows all."
                if self.listing.runs
                else f"No runs yet. {hint('new')} starts one."
            )
            text = printable(self.listing.problem) or why
            if str(nothing.content) != text:
                nothing.update(text)

    def selected_path(self) -> str | None:
        """The folder of the run under the cursor."""
        row = self.query_one(TextTable).cursor_row
        return self._shown[row][0] if 0 <= row < len(self._shown) else None

    def target(self) -> RunDirectory | None:
        """The run under the cursor."""
        path = self.selected_path()
        return None if path is None else RunDirectory(Path(path))

    @on(TextTable.RowSelected)
    def action_open(self) -> None:
        """Open the run under the cursor."""
        run = self.run_in_hand()
        if run is not None:
            self.dashboard.open_run(run)

    @on(TextTable.HeaderSelected)
    def _sort_by_header(self, event: TextTable.HeaderSelected) -> None:
        chosen = next(column for column in COLUMNS if column.name == event.column_key.value)
        self._reverse = chosen is self._sort and not self._reverse
        self._sort = chosen
        self.show_runs()

    def action_mark(self) -> None:
        """Mark the run under the cursor, or no longer, and go to the next."""
        run, table = self.run_in_hand(), self.query_one(TextTable)
        if run is None:
            return
        try:
            self.marks.toggle(str(run.path))
        except UsageError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        self.show_runs()
        table.move_cursor(row=table.cursor_row + 1, animate=False)

    def action_compare(self) -> None:
        """Compare the marked runs."""
        paths = self.marks.paths()
        if len(paths) < 2:
            self.notify(
                f"mark two runs or more with {hint('mark')}, then {hint('compare')} compares them", markup=False
            )
            return
        runs = [(RunDirectory(Path(path)), self.marks.place(path) or 0) for path in paths]
        from nanochat_tui.compare.screen import CompareScreen

        self.app.push_screen(CompareScreen(runs, self.dashboard.seconds))

    def action_sort(self) -> None:
        """By the next column that is shown; after the last one as at the beginning."""
        order: list[Column | None] = [None, *self._wanted()]
        place = order.index(self._sort) if self._sort in order else 0
        self._sort = order[(place + 1) % len(order)]
        self.show_runs()

    def action_reverse(self) -> None:
        """Turn the order round."""
        self._reverse = not self._reverse
        self.show_runs()

    def action_search(self) -> None:
        """Type a filter."""
        field = self.query_one("#filter", Input)
        field.display = True
        self.set_focus(field)  # at once: the next key is already for it

    @on(Input.Changed, "#filter")
    def _filter_typed(self, event: Input.Changed) -> None:
        """Filter while it is typed; a text that is no filter yet leaves the table as it is."""
        try:
            self._filter = parse(event.value)
        except UsageError:
            return
        self.filter_text = event.value
        self.show_runs()

    @on(Input.Submitted, "#filter")
    def _filter_done(self, event: Input.Submitted) -> None:
        """Keep the filter, or say what is wrong with it."""
        try:
            parse(event.value)
        except UsageError as error:
            self.notify(
                f"{error}\nfields: {', '.join(FIELDS)}, or a key of the configuration", severity="error", markup=False
            )
            return
        self.query_one("#filter").display = bool(event.value)
        self.set_focus(self.query_one(TextTable))

    def action_back(self) -> None:
        """No filter."""
        field = self.query_one("#filter", Input)
        field.value = ""
        field.display = False
        self.set_focus(self.query_one(TextTable))

    def action_new(self) -> None:
        """Put a training together."""
        path = self.selected_path()
        selected = next((run for run in self.listing.runs if run.path == path), None)
        from nanochat_tui.launch.pick import PickScreen

        self.app.push_screen(PickScreen(selected, self.listing.runs, self.dashboard.last_form))

    def changed(self, result: str | None = None) -> None:
        """Look at once."""
        self.listing.poll()
        self.show_runs()

    def action_browse(self) -> None:
        """Show what is installed."""
        from nanochat_tui.browser.screen import BrowserScreen

        self.app.push_screen(BrowserScreen())

    def action_delete(self) -> None:
        """Delete the run, after a yes; of one that trains nothing is asked."""
        run = self.run_in_hand()
        if run is None:
            return
        status = read_status(run.status)
        if listens(status):
            self.tell(Answer(f"{run.name} is {liveness(status)}; {hint('stop')} stops it first", False))
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self._delete(run)

        size = short(folder_size(run.path))
        self.app.push_screen(Ask(f"Delete {run.name} with its checkpoints ({size}B)? It cannot be had back."), answered)

    @work
    async def _delete(self, run: RunDirectory) -> None:
        """Beside the screen's own work: many gigabytes take a moment."""
        try:
            await asyncio.to_thread(remove, run)
        except NanochatError as error:
            self.notify(str(error), severity="error", markup=False)
        self.changed()


def _live_first(run: RunSummary) -> tuple[object, ...]:
    """What trains, then the queue by place, then the newest."""
    rank = 0 if run.state in _LIVE_FIRST else 1 if run.state == "queued" and run.waits_for else 2
    return rank, len(run.waits_for) if rank == 1 else 0, -(run.created or 0.0), run.name


def _cell(column: Column, text: str, state: str, name_width: int) -> Text:
    style = sign(state)[1] if column.name == "state" else ""
    width = name_width if column.name == "name" else column.width
    cell = Text(text, style=style, justify="right" if column.right else "left", no_wrap=True, overflow="ellipsis")
    cell.truncate(width, overflow="ellipsis")
    return cell
