"""Where a new training begins: the last form, a run, a preset, or a file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.widgets import Input, OptionList, Static

from nanochat_framework.config.presets import find_config, preset_names
from nanochat_framework.errors import NanochatError
from nanochat_framework.runs.summary import RunSummary
from nanochat_tui.base_screen import DashboardScreen
from nanochat_tui.dialogs import Line, in_columns, matching
from nanochat_tui.footer import KeysFooter
from nanochat_tui.keys import bindings
from nanochat_tui.launch.draft import Draft
from nanochat_tui.launch.form import FormScreen
from nanochat_tui.palette import palette


@dataclass(frozen=True)
class Start:
    """A place to begin: `target` as `nanochat train` takes it."""

    target: str
    name: str
    about: str
    draft: Draft | None = None

    @property
    def line(self) -> Line:
        """In the list."""
        return self.name, self.about


class PickScreen(DashboardScreen):
    """A list that is filtered by what is typed; what is no preset or run may be a path."""

    BINDINGS = bindings("pick")
    where = "pick"
    DEFAULT_CSS = """
    PickScreen #wanted { height: 1; border: none; padding: 0 1; background: $surface; }
    PickScreen OptionList {
        height: 1fr; border: none; background: $background; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis;
    }
    PickScreen #wrong { height: auto; max-height: 3; padding: 0 1; color: $text-muted; }
    """

    def __init__(self, selected: RunSummary | None, runs: Sequence[RunSummary], last: Draft | None) -> None:
        """`selected` is the run under the cursor, `last` the form that was left."""
        super().__init__()
        self.starts = list(_starts(selected, runs, last))
        self._shown: list[Start] = []

    def compose(self) -> ComposeResult:
        """Heading, line, list."""
        yield Static(" New run: from a preset, like a run, or from a TOML file", id="heading", markup=False)
        yield Input(placeholder="type to find, or the path of a TOML file", id="wanted", compact=True)
        yield OptionList(markup=False)
        yield Static(id="wrong", markup=False)
        yield KeysFooter()

    def on_mount(self) -> None:
        """Everything, with the cursor in the line."""
        self._show("")
        self.set_focus(self.query_one(Input))

    def _show(self, wanted: str) -> None:
        self._shown = [self.starts[n] for n in matching([start.line for start in self.starts], wanted)]
        if wanted.strip() and (not self._shown or "/" in wanted or wanted.endswith(".toml")):
            self._shown.append(Start(wanted.strip(), wanted.strip(), "this path"))
        options = self.query_one(OptionList)
        options.clear_options()
        options.add_options(in_columns([start.line for start in self._shown]))
        options.highlighted = 0 if self._shown else None
        self._say("")

    def _say(self, text: str) -> None:
        self.query_one("#wrong", Static).update(Text(text, style=palette().alert))

    @on(Input.Changed, "#wanted")
    def _typed(self, event: Input.Changed) -> None:
        self._show(event.value)

    @on(Input.Submitted, "#wanted")
    @on(OptionList.OptionSelected)
    def action_take(self) -> None:
        """Begin there, if there is something."""
        place = self.query_one(OptionList).highlighted
        if place is None:
            return
        start = self._shown[place]
        target = os.path.expanduser(start.target)
        try:
            find_config(target)
        except NanochatError as error:
            self._say(str(error))
            return
        runs_dir = self.dashboard.runs_screen.listing.runs_dir
        draft = start.draft or Draft(target)
        if os.path.lexists(runs_dir / draft.name):  # it was started
            draft.name = ""
        self.app.switch_screen(FormScreen(draft, runs_dir))

    def action_move(self, by: int) -> None:
        """Move in the list while the line has the keyboard."""
        options = self.query_one(OptionList)
        (options.action_cursor_down if by > 0 else options.action_cursor_up)()


def _starts(selected: RunSummary | None, runs: Sequence[RunSummary], last: Draft | None) -> Sequence[Start]:
    found = []
    if last is not None:
        count = len(last.changes)
        changed = f"with {count} change{'s' * (count != 1)}" if count else "unchanged"
        found.append(Start(last.target, "the last form", f"{Path(last.target).name} {changed}", last))
    if selected is not None:
        found.append(_like(selected))
    found += [Start(name, name, about(name)) for name in preset_names()]
    others = [run for run in runs if selected is None or run.path != selected.path]
    others.sort(key=lambda run: run.created or 0.0, reverse=True)
    return [*found, *map(_like, others)]


def _like(run: RunSummary) -> Start:
    loss = "" if run.loss is None else f", loss {run.loss:.4f}"
    return Start(run.path, f"like {run.name}", f"what the run was made from ({run.state}{loss})")


def about(preset: str) -> str:
    """What a preset's file says of itself in its first sentence."""
    words: list[str] = []
    for line in find_config(preset).read_text(encoding="utf-8").splitlines():
        if line.startswith("#:"):
            continue
        if not line.startswith("# "):
            break
        words += line[2:].split()
    text = " ".join(words).removeprefix(f"{preset}: ")
    return text.partition(". ")[0].rstrip(".")
