"""The form: settings on the left, what they cost on the right, and what is wrong beside the setting that it is about."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.timer import Timer
from textual.widgets import Input, Static, Tree
from textual.worker import WorkerError

from nanochat_framework.errors import NanochatError
from nanochat_tui.base_screen import DashboardScreen
from nanochat_tui.commands import ask
from nanochat_tui.dialogs import Pick, Prompt
from nanochat_tui.footer import KeysFooter
from nanochat_tui.keys import bindings, hint
from nanochat_tui.launch import views
from nanochat_tui.launch.assessment import RUN_NAME, Assessment
from nanochat_tui.launch.catalogue import Addition, Catalogue, Row
from nanochat_tui.launch.checking import check
from nanochat_tui.launch.draft import Draft, right_side, shown
from nanochat_tui.launch.outline import Outline
from nanochat_tui.launch.texts import Texts
from nanochat_tui.requests import Answer

PAUSE_SECONDS = 0.3
"""Between the last change and the check."""
WIDE = 104
"""Columns from which on the estimate has a place of its own."""


class FormScreen(DashboardScreen):
    """A draft, checked and planned by child processes after every change."""

    BINDINGS = bindings("form")
    AUTO_FOCUS = "Outline"
    where = "form"
    DEFAULT_CSS = """
    FormScreen #form { height: 1fr; }
    FormScreen #costs { height: 1fr; padding: 0 1; background: $surface; scrollbar-size-vertical: 1; }
    FormScreen #costs Static { height: auto; }
    FormScreen #about { height: 4; padding: 0 1; background: $surface; }
    FormScreen #line { height: 1; background: $boost; }
    FormScreen #edited { width: auto; max-width: 50%; padding: 0 1; text-style: bold; }
    FormScreen #edit { width: 1fr; border: none; padding: 0; background: $boost; }
    FormScreen #how { width: auto; color: $text-muted; }
    """

    def __init__(self, draft: Draft, runs_dir: Path) -> None:
        super().__init__()
        self.draft, self.runs_dir = draft, runs_dir
        self.catalogue: Catalogue | None = None
        self.rows: list[Row] = []
        """Those that are shown."""
        self.assessment = Assessment(draft, runs_dir)
        self._timer: Timer | None = None
        self._begin: str | None = None
        """`start` or `queue`, if that is to be done when the check is over."""
        self._editing: tuple[str, dict[str, str], str] | None = None
        """Key, and changes and run name as they were before."""

    def compose(self) -> ComposeResult:
        """Two lines, settings with their cost, the setting at hand, the line to type in, keys."""
        yield Static(id="heading", markup=False)
        yield Static(id="figures", markup=False)
        with Horizontal(id="form"):
            yield Outline()
            with VerticalScroll(id="costs", can_focus=False):
                yield Static(id="costs-text", markup=False)
        yield Static(id="about", markup=False)
        with Horizontal(id="line"):
            yield Static(id="edited", markup=False)
            yield Input(id="edit", compact=True, select_on_focus=False)
            yield Static("enter keeps it, esc does not ", id="how", markup=False)
        yield KeysFooter()

    @property
    def outline(self) -> Outline:
        """The settings."""
        return self.query_one(Outline)

    def on_mount(self) -> None:
        """Ask what there is."""
        self.query_one("#line").display = False
        self.query_one("#costs").styles.width = views.COSTS_WIDTH
        self._arrange()
        self._say_heading("asking for the settings…")
        self.run_worker(self._open(), exclusive=True, group="check")

    async def on_unmount(self) -> None:
        """The processes that it waits for end with the screen."""
        mine = [worker for worker in self.workers if worker.node is self]
        for worker in mine:
            worker.cancel()
        for worker in mine:
            with suppress(WorkerError):
                await worker.wait()

    def on_resize(self, event: events.Resize) -> None:
        """The estimate stands beside the settings, or in one line above them."""
        self._arrange()
        self._show()

    def _arrange(self) -> None:
        wide = self.size.width >= WIDE
        self.query_one("#costs").display = wide
        self.query_one("#figures").display = not wide

    async def _open(self) -> None:
        try:
            schema, verdict = await asyncio.gather(ask("config", "schema"), check(Draft(self.draft.target)))
        except NanochatError as error:
            self.assessment.fail(error, self.draft.changes)
            self._show()
            return
        self.catalogue = Catalogue(schema)
        self.draft.know(verdict.values, self.catalogue)
        if verdict.problems:  # of the file itself
            self.assessment.take(verdict, {})
        self.changed()

    def changed(self) -> None:
        """Something is different: show it, and check when no more comes for a moment."""
        self._show()
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(PAUSE_SECONDS, self._start_check)

    def _start_check(self) -> None:
        self.run_worker(self._check(), exclusive=True, group="check")

    async def _check(self) -> None:
        """Check, then plan; a newer change cancels it, and the process that it waits for."""
        await self.assessment.check()
        self._show()
        if self._begin is not None:
            self._go()
        await self.assessment.plan(self.dashboard.runs_screen.listing.runs, self.assessment.data())
        self._show()

    def _show(self) -> None:
        """Bring everything up to date."""
        if not self.query(Outline):  # an answer that comes while the screen is being closed
            return
        if self.catalogue is not None:
            self.assessment.rows = list(self.catalogue.rows(self.assessment.data()))
            wrong = self.assessment.wrong()
            self.rows = [self._run_name(), *_shown_rows(self.assessment.rows, self.draft, wrong)]
            self.outline.show(self.rows, {row.key for row in self.rows if self._is_changed(row)}, wrong)
        self._say_heading()
        self.query_one("#figures", Static).update(views.figures(self.assessment))
        self.query_one("#costs-text", Static).update(views.costs(self.assessment))
        self._say_about()

    def _is_changed(self, row: Row) -> bool:
        return bool(self.draft.name) if row.key == RUN_NAME else self.draft.changed(row.target)

    def _run_name(self) -> Row:
        about = f"The run's folder in {self.runs_dir}. Without a name it is called after the day and the configuration."
        return Row(RUN_NAME, 0, self.draft.name or None, {"type": "string", "description": about})

    def _say_heading(self, doing: str = "") -> None:
        self.query_one("#heading", Static).update(views.heading(self.assessment, doing))

    def _say_about(self) -> None:
        self.query_one("#about", Static).update(views.about(self.outline.row, self.assessment))

    @on(Tree.NodeHighlighted)
    def _moved(self) -> None:
        self._say_about()

    @on(Tree.NodeSelected)
    def _selected(self, event: Tree.NodeSelected[Row]) -> None:
        row = event.node.data
        if row is None:
            return
        if row.is_table and not row.choices:
            event.node.toggle()
        elif set(row.choices) == {"true", "false"}:
            self._set(row, "false" if row.value is True else "true")
        elif row.choices:
            self._choose(row)
        else:
            self._edit(row)

    def action_change(self) -> None:
        """Change the setting under the cursor."""
        self.outline.action_select_cursor()

    def _choose(self, row: Row) -> None:
        names = list(row.choices)
        now = shown(row)

        def chosen(place: int | None) -> None:
            if place is not None and names[place] != now:
                self._set(row, names[place])

        at = names.index(now) if now in names else 0
        self.app.push_screen(Pick(row.target, [(name, row.choices[name]) for name in names], at), chosen)

    def _edit(self, row: Row) -> None:
        self._editing = None
        field = self.query_one("#edit", Input)
        text = shown(row)
        with field.prevent(Input.Changed):
            field.value = text
        field.cursor_position = len(text)
        field.placeholder = row.kind
        self.query_one("#edited", Static).update(f"{row.name} =")
        self.query_one("#line").display = True
        self.set_focus(field)  # at once: the next key is already for it
        self._editing = (row.key, dict(self.draft.changes), self.draft.name)

    @on(Input.Changed, "#edit")
    def _typed(self, event: Input.Changed) -> None:
        """As it is typed it is checked."""
        row = next((row for row in self.rows if self._editing and row.key == self._editing[0]), None)
        if row is not None:
            self._set(row, event.value)

    @on(Input.Submitted, "#edit")
    def _done(self) -> None:
        self._editing = None
        self.query_one("#line").display = False
        self.set_focus(self.outline)

    def _set(self, row: Row, text: str) -> None:
        if row.key == RUN_NAME:
            self.draft.name = text.strip()
        elif not text.strip() and not row.is_text:
            self.draft.changes.pop(row.target, None)
            self.draft.added.add(row.key)
        else:
            typed_text = row.is_text or row.is_table
            self.draft.set(row.target, right_side(text) if typed_text else text.strip())
            if row.is_table:
                self._see_all(row.key)
        self.changed()

    def _see_all(self, table: str) -> None:
        """Everything that a component that was just chosen can be told, but what is in tables inside."""
        assert self.catalogue is not None
        rows = self.catalogue.rows(self.draft.data())
        self.draft.added |= {row.key for row in rows if row.key.rpartition(".")[0] == table and not row.is_table}

    def _not_yet(self) -> None:
        """Say why there are no settings."""
        problems = self.assessment.problems if self.assessment.checked else ()
        why = problems[0].line if problems else "the settings are still being asked for"
        self.notify(why, severity="warning", markup=False)

    def action_find(self) -> None:
        """Find a setting, or add one."""
        if self.catalogue is None:
            self._not_yet()
            return
        additions = list(self.catalogue.additions(self.assessment.data()))
        rows = [row for row in self.assessment.rows if not row.is_table]
        lines = [(row.key, row.about) for row in rows] + [(f"+ {each.label}", each.about) for each in additions]

        def chosen(place: int | None) -> None:
            if place is None:
                return
            if place < len(rows):
                self.draft.added.add(rows[place].key)
                self._show()
                self.outline.select(rows[place].key)
            else:
                self._add(additions[place - len(rows)])

        self.app.push_screen(Pick("Find or add a setting", lines), chosen)

    def _add(self, addition: Addition) -> None:
        assert self.catalogue is not None
        key = addition.key
        if addition.to_array:
            members = self.draft.members(key)
            self.draft.replace_array(key, [*members, addition.value])
            key = f"{key}.{len(members)}"
        else:
            self.draft.set(key, right_side(addition.value["name"]) if addition.value else "{}")
        self._see_all(key)
        self.changed()
        self.outline.select(key)

    def action_reset(self) -> None:
        """What was changed at the cursor is as it was; at a table, all in it."""
        row = self.outline.row
        if row is not None and row.key == RUN_NAME:
            self.draft.name = ""
        elif row is None or not (self.draft.reset(row.key) or self.draft.reset(row.target)):
            return
        self.changed()

    def action_take_out(self) -> None:
        """Take a member of an array out."""
        row = self.outline.row
        array, _, place = row.key.rpartition(".") if row is not None else ("", "", "")
        if row is None or self.catalogue is None:
            self._not_yet()
            return
        if not (row.is_table and place.isdigit()):
            keys = (
                f"{hint('take_out')} takes members of a list out, like an optimizer; {hint('reset')} takes changes back"
            )
            self.tell(Answer(keys, False))
            return
        members = self.draft.members(array)
        del members[int(place)]
        self.draft.replace_array(array, members)
        self.changed()

    def action_next_problem(self) -> None:
        """To the next setting with a problem."""
        keys, wrong_rows = [row.key for row in self.rows], self.assessment.wrong()
        wrong = [key for key in keys if key in wrong_rows]
        if wrong:
            at = keys.index(self.outline.row.key) if self.outline.row and self.outline.row.key in keys else -1
            self.outline.select(next((key for key in wrong if keys.index(key) > at), wrong[0]))

    def action_view(self) -> None:
        """Show the command and the file."""
        if self.catalogue is None:
            self._not_yet()
        else:
            self.app.push_screen(Texts(self.draft.command(self.runs_dir), self.draft.toml()))

    def action_copy(self) -> None:
        """The command, to the terminal's clipboard."""
        self.app.copy_to_clipboard(self.draft.command(self.runs_dir))
        self.tell(Answer("the command is in the clipboard", True))

    def action_write(self) -> None:
        """Write the file."""
        if self.catalogue is None:
            self._not_yet()
            return

        def written(text: str | None) -> None:
            if text is not None:
                self.tell(Answer(f"{text.strip()} is written", True))

        name = self.draft.name or f"my-{Path(self.draft.target).stem}"
        about = "a file that extends what this form began with"
        prompt = Prompt("Write the configuration to", about, value=f"{name}.toml", check=self.draft.write)
        self.app.push_screen(prompt, written)

    def recolour(self) -> None:
        """Write everything again."""
        self._show()

    def action_start(self) -> None:
        """Start it, detached, and go back to the runs."""
        self._begin = "start"
        self._go()

    def action_queue(self) -> None:
        """Let it begin when what is on this machine now has ended."""
        self._begin = "queue"
        self._go()

    def _go(self) -> None:
        if not self.assessment.checked:
            self._say_heading(f"checking before the {self._begin}…")
            return
        begin, self._begin = self._begin, None
        if self.assessment.problems:
            self.tell(Answer(self.assessment.problems[0].line, False))
            self.action_next_problem()
            return
        name = ["--run", self.draft.name] if self.draft.name else []
        options = ["--detach", *(["--queue"] if begin == "queue" else []), "--runs-dir", str(self.runs_dir)]
        label = self.draft.name or Path(self.draft.target).name
        self.dashboard.requests.start(
            f"{begin} {label}", ["train", *options, self.draft.target, *name, *self.draft.sets()]
        )
        self._leave()

    def action_back(self) -> None:
        """Out of the line (as it was before), else to the runs; the form is kept for the next time."""
        if self._editing is not None:
            _, self.draft.changes, self.draft.name = self._editing
            self._done()
            self.changed()
        else:
            self._leave()

    def _leave(self) -> None:
        self._begin = None
        self.dashboard.last_form = self.draft
        self.dismiss()


def _shown_rows(rows: Sequence[Row], draft: Draft, wrong: dict[str, str]) -> list[Row]:
    """Settings that somebody says, asked for, or has to correct; and the tables that they are in."""
    keys = {
        row.key
        for row in rows
        if row.key in wrong
        or row.key in draft.added
        or draft.is_said(row.target)
        or (row.is_table and row.key in draft.said)
    }
    around = {key[:place] for key in keys for place, letter in enumerate(key) if letter == "."}
    return [row for row in rows if row.key in keys or (row.is_table and row.key in around)]
