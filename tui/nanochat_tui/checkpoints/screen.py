"""The checkpoints of one run, and what can be done with them."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.widgets import Static

from nanochat_framework.errors import NanochatError
from nanochat_framework.runs.checkpoint_store import CheckpointStore
from nanochat_framework.runs.checkpoints import Checkpoint, checkpoints, keep, refusal, remove_checkpoint
from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.removal import folder_size
from nanochat_framework.runs.status import LIVE_STATES
from nanochat_framework.runs.summary import summarize
from nanochat_tui.base_screen import DashboardScreen
from nanochat_tui.charts.ticks import short
from nanochat_tui.checkpoints.evaluating import evaluation_form, shown_scores
from nanochat_tui.checkpoints.exporting import export_form, exporters
from nanochat_tui.checkpoints.forking import open_fork
from nanochat_tui.checkpoints.rows import COLUMNS, rows
from nanochat_tui.dialogs import Ask, Pick
from nanochat_tui.footer import KeysFooter
from nanochat_tui.formats import progress
from nanochat_tui.keys import bindings, hint
from nanochat_tui.palette import sign
from nanochat_tui.printable import printable
from nanochat_tui.text_table import TextTable
from nanochat_tui.work import Work

LOOK_SECONDS = 1.0


class CheckpointsScreen(DashboardScreen):
    """A table of checkpoints, looked at once a second, read again when one came, went or changed."""

    BINDINGS = bindings("checkpoints")
    where = "checkpoints"
    DEFAULT_CSS = """
    CheckpointsScreen #doing { height: 1; padding: 0 1; color: $text-muted; text-wrap: nowrap; text-overflow: ellipsis; }
    """

    def __init__(self, run: RunDirectory) -> None:
        super().__init__()
        self.run = run
        self.store = CheckpointStore(run.checkpoints)
        self.found: list[Checkpoint] = []
        self._cells: dict[str, tuple[Text, ...]] = {}
        self._mark: object = None
        self._bytes = 0
        self._read_once = False

    def compose(self) -> ComposeResult:
        """Heading, table, a line on what is being done, keys."""
        yield Static(id="heading", markup=False)
        yield TextTable(cursor_type="row", zebra_stripes=False, cell_padding=1)
        yield Static(id="nothing", markup=False)
        yield Static(id="doing", markup=False)
        yield KeysFooter()

    def on_mount(self) -> None:
        """Begin to look."""
        self.set_focus(self.query_one(TextTable))
        self.query_one("#nothing").display = False
        self.look()
        self.set_interval(LOOK_SECONDS, self.look)

    def look(self) -> None:
        """Read again where something is different; ages and the run's state in any case."""
        self.poll_requests()
        if not self.in_sight:
            return
        self._heading()
        mark = self._looked()
        if mark != self._mark:
            self._mark = mark
            self._read()
        else:
            self._show()

    def on_resize(self) -> None:
        """Other columns have room."""
        self._show()

    def _looked(self) -> object:
        """What changes with every checkpoint that comes, goes, is kept or evaluated."""
        try:
            with os.scandir(self.run.checkpoints) as entries:
                facts = sorted((entry.name, entry.stat().st_mtime_ns) for entry in entries)
        except OSError:
            facts = []
        return facts, summarize(self.run).eval_loss

    @work(exclusive=True, group="read")
    async def _read(self) -> None:
        """The list, beside the screen's own work: a long metrics.jsonl takes a moment."""
        try:
            self.found = await asyncio.to_thread(checkpoints, self.run)
        except OSError as error:
            self._doing(f"{error.filename}: {error.strerror}")
            self.found = []
        self._read_once = True
        self._show()
        self._bytes = await asyncio.to_thread(folder_size, self.run.checkpoints)
        self._heading()

    def recolour(self) -> None:
        """The cells have colours."""
        self._show(again=True)
        self._heading()

    def _show(self, *, again: bool = False) -> None:
        """Bring the table up to date, cell by cell where it has the same rows and columns."""
        table = self.query_one(TextTable)
        lives = summarize(self.run).state in LIVE_STATES
        cells = rows(self.found, self._being_written() if lives else ())
        places = [place for place, column in enumerate(COLUMNS) if self.size.width >= column.least_screen]
        if again or list(cells) != list(self._cells) or len(places) != len(table.columns):
            chosen, at = self.chosen_name(), table.cursor_row
            table.clear(columns=True)
            for column in (COLUMNS[place] for place in places):
                head = Text(column.name, justify="right" if column.right else "left")
                table.add_column(head, width=column.width, key=column.name)
            for name, row in cells.items():
                table.add_row(*(row[place] for place in places), key=name)
            if chosen is None:
                at = len(self.found) - 1
            elif chosen in cells:
                at = list(cells).index(chosen)
            table.move_cursor(row=max(min(at, len(cells) - 1), 0), animate=False)
        else:
            for name, row in cells.items():
                for place in places:
                    if self._cells[name][place] != row[place]:
                        column = COLUMNS[place]
                        table.update_cell(name, column.name, row[place], update_width=column.width is None)
        self._cells = cells
        nothing = self.query_one("#nothing", Static)
        nothing.display = not cells
        if not cells:
            more = f" {hint('checkpoint')} writes one after the present step." if lives else ""
            nothing.update(f"No checkpoints yet.{more}" if self._read_once else "reading…")

    def _being_written(self) -> Sequence[str]:
        try:
            return self.store.being_written()
        except OSError:  # it is told when the list is read
            return ()

    def _heading(self) -> None:
        run = summarize(self.run)
        mark, colour = sign(run.state)
        count = len(self.found)
        text = Text.assemble(f" checkpoints of {run.name}  ", (f"{mark} {run.state}", colour), f"  {progress(run)}")
        text.append(f"   {count} in {short(self._bytes)}B" if self._bytes else "")
        if line := self.dashboard.requests.line(self.run):
            text = Text(f" {line}")
        heading = self.query_one("#heading", Static)
        if heading.content != text:
            heading.update(text)

    def _doing(self, text: str) -> None:
        for line in self.query("#doing").results(Static):  # none where the dashboard is being closed
            line.update(printable(text))

    def chosen_name(self) -> str | None:
        """The name under the cursor."""
        row = self.query_one(TextTable).cursor_row
        return list(self._cells)[row] if 0 <= row < len(self._cells) else None

    def chosen(self) -> Checkpoint | None:
        """The checkpoint under the cursor; where there is none, why not is said."""
        name = self.chosen_name()
        found = next((each for each in self.found if each.name == name), None)
        if found is None:
            none = "there is no checkpoint yet" if self._read_once else "the checkpoints are still being read"
            self.notify(none if name is None else f"{name} is being written", severity="warning", markup=False)
        return found

    def folder(self, checkpoint: Checkpoint) -> Path:
        """Where a checkpoint lies."""
        return self.store.path(checkpoint.name)

    def wrong(self, error: Exception) -> None:
        """Tell a mistake."""
        self.notify(printable(str(error)), severity="error", markup=False)

    def action_keep(self) -> None:
        """Keep the checkpoint, or no longer."""
        checkpoint = self.chosen()
        if checkpoint is None:
            return
        try:
            keep(self.run, checkpoint.name, kept=not checkpoint.kept)
        except NanochatError as error:
            self.wrong(error)
        self._read()

    def action_checkpoint(self) -> None:
        """Ask the training for one."""
        try:
            self.dashboard.requests.ask(self.run, "checkpoint")
        except NanochatError as error:
            self.wrong(error)

    def action_remove(self) -> None:
        """Remove the checkpoint, after a yes."""
        checkpoint = self.chosen()
        if checkpoint is None:
            return
        try:
            reason = refusal(self.run, checkpoint.name)
        except OSError as error:
            reason = f"{error.filename}: {error.strerror}"
        if reason is not None:
            self.notify(reason, severity="error", markup=False)
            return
        others = [each for each in self.found if each.name != checkpoint.name and each.problem is None]
        size = f"{short(checkpoint.bytes)}B"
        question = f"Remove {checkpoint.name} of {self.run.name} ({size})? It cannot be had back."
        if not others and checkpoint.problem is None:
            question += " It is the only whole one: nothing would be left to go on from."
        elif checkpoint.same_as:
            question += f" Its files stay as {', '.join(checkpoint.same_as)}, so it frees no room."

        def answered(yes: bool | None) -> None:
            if yes:
                self._remove(checkpoint.name)

        self.app.push_screen(Ask(question), answered)

    @work
    async def _remove(self, name: str) -> None:
        self._doing(f"removing {name}…")
        try:
            await asyncio.to_thread(remove_checkpoint, self.run, name)
        except NanochatError as error:
            self.wrong(error)
        self._doing("")
        self._read()

    def action_verify(self) -> None:
        """Compare the checksums of all files of all checkpoints."""
        title = f"Reading every byte of the checkpoints of {self.run.name}"
        self.app.push_screen(Work(title, ["checkpoints", "ls", str(self.run.path), "--verify"]))

    @work(exclusive=True, group="ask")
    async def action_export(self) -> None:
        """Choose an exporter, fill in its form, run it."""
        checkpoint = self.chosen()
        if checkpoint is None:
            return
        self._doing("looking for exporters…")
        try:
            known = await exporters()
            self._doing("")
            title = f"Export {checkpoint.name} of {self.run.name} to"
            place = await self.app.push_screen_wait(Pick(title, list(known.items())))
            if place is None:
                return
            name = list(known)[place]
            self._doing(f"looking up the options of {name}…")
            form = await export_form(self.run.name, self.folder(checkpoint), name)
        except NanochatError as error:
            self.wrong(error)
            return
        finally:
            self._doing("")
        while (values := await self.app.push_screen_wait(form)) is not None:
            if await self.app.push_screen_wait(form.work(values)):
                return
            form = form.again(values)  # what was wrong can be changed

    @work(exclusive=True, group="ask")
    async def action_score(self) -> None:
        """Choose what to score it by, and show the scores."""
        checkpoint = self.chosen()
        if checkpoint is None:
            return
        self._doing("looking for evaluations…")
        try:
            form = await evaluation_form(self.run.name, self.folder(checkpoint))
        except NanochatError as error:
            self.wrong(error)
            return
        finally:
            self._doing("")
        values = await self.app.push_screen_wait(form)
        if values is not None:
            title = f"Evaluation of {checkpoint.name} of {self.run.name}"
            await self.app.push_screen_wait(Work(title, form.arguments(values), shown_scores))

    def action_fork(self) -> None:
        """A run that goes on from here."""
        checkpoint = self.chosen()
        if checkpoint is not None:
            open_fork(self, self.run, checkpoint.name)

    @on(TextTable.RowSelected)
    def _selected(self) -> None:
        """Enter shows where the checkpoint is, and the whole of what is wrong with it."""
        checkpoint = self.chosen()
        if checkpoint is not None:
            at = "-" if checkpoint.written is None else time.strftime("%F %T", time.localtime(checkpoint.written))
            self._doing(f"{checkpoint.problem or ''}   {self.folder(checkpoint)}   written {at}".strip())
