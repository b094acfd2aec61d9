"""Small windows: a question, a line of text, a choice, the help."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.table import Table
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static

from nanochat_framework.errors import NanochatError
from nanochat_tui.printable import printable

Line = tuple[str, str]
"""Of a list to pick from: a name, and what it is."""
WIDEST_NAME = 34
"""Cells of a name in a list, beyond which what it is no longer stands below what the others are."""


class Ask(ModalScreen[bool]):
    """Yes or no; only `y` is a yes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "yes"),
        Binding("n,escape,enter,q", "answer(False)", "no"),
    ]

    def __init__(self, question: str) -> None:
        super().__init__()
        self.question = question

    def compose(self) -> ComposeResult:
        """The question."""
        with Vertical(classes="dialog"):
            yield Static(self.question, markup=False)
            yield Static("y: yes    n: no", classes="hint", markup=False)

    def action_answer(self, answer: bool) -> None:
        """Close with the answer."""
        self.dismiss(answer)


class Prompt(ModalScreen[str | None]):
    """A line of text; None if it was given up. `check` raises NanochatError for a text that will not do."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "give_up", "back")]

    def __init__(
        self, title: str, hint: str, *, value: str = "", check: Callable[[str], object] = lambda text: None
    ) -> None:
        super().__init__()
        self.title_text, self.hint, self.value, self.check = title, hint, value, check

    def compose(self) -> ComposeResult:
        """Title, line, hint."""
        with Vertical(classes="dialog"):
            yield Static(self.title_text, classes="heading", markup=False)
            yield Input(value=self.value, select_on_focus=False)
            yield Static(self.hint, classes="hint", markup=False)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Close, or say what is wrong."""
        try:
            self.check(event.value)
        except NanochatError as error:
            hint = self.query_one(".hint", Static)
            hint.add_class("wrong")
            hint.update(str(error))
            return
        self.dismiss(event.value)

    def action_give_up(self) -> None:
        """Close without."""
        self.dismiss(None)


class Choose(ModalScreen[list[str] | None]):
    """Some of many names; None if it was given up."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "give_up", "back"),
        Binding("space", "choose", "choose", priority=True),
        Binding("enter", "done", "done", priority=True),
    ]

    def __init__(self, title: str, names: list[str], chosen: list[str]) -> None:
        super().__init__()
        self.title_text, self.names, self.chosen = title, names, set(chosen)

    def compose(self) -> ComposeResult:
        """The list."""
        with Vertical(classes="dialog tall"):
            yield Static(self.title_text, classes="heading", markup=False)
            yield OptionList(*[self._line(name) for name in self.names], markup=False)
            yield Static("space: choose    enter: done    esc: as it was", classes="hint", markup=False)

    def _line(self, name: str) -> str:
        return f"{'✓' if name in self.chosen else '·'} {name}"

    def action_choose(self) -> None:
        """Choose the name under the cursor, or not."""
        options = self.query_one(OptionList)
        if options.highlighted is not None:
            name = self.names[options.highlighted]
            self.chosen ^= {name}
            options.replace_option_prompt_at_index(options.highlighted, self._line(name))

    def action_done(self) -> None:
        """Close with what is chosen, in the list's order."""
        self.dismiss([name for name in self.names if name in self.chosen])

    def action_give_up(self) -> None:
        """Close without."""
        self.dismiss(None)


def matching(lines: Sequence[Line], wanted: str) -> list[int]:
    """Places of the lines that have all words somewhere, those first that have them in their names."""
    words = wanted.lower().split()
    named = [n for n, (name, _) in enumerate(lines) if all(word in name.lower() for word in words)]
    both = [n for n, line in enumerate(lines) if all(word in " ".join(line).lower() for word in words)]
    return [*named, *(n for n in both if n not in named)]


def in_columns(lines: Sequence[Line]) -> list[Text]:
    """Lines with what they are below each other, where names are not too long."""
    width = min(max((len(name) for name, about in lines if about), default=0), WIDEST_NAME)
    shown = []
    for name, about in lines:
        text = Text(printable(name))
        if about:
            text.append(f"{' ' * max(width - len(name), 0)}  {printable(about)}", "dim")
        shown.append(text)
    return shown


class Pick(ModalScreen[int | None]):
    """One of many lines, found by typing: its place; None if it was given up."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "give_up", "back"),
        Binding("down", "move(1)", "down", priority=True),
        Binding("up", "move(-1)", "up", priority=True),
        Binding("pagedown", "move(10)", "down", priority=True),
        Binding("pageup", "move(-10)", "up", priority=True),
        Binding("home", "move(-1000000)", "first", priority=True),
        Binding("end", "move(1000000)", "last", priority=True),
    ]

    def __init__(self, title: str, lines: Sequence[Line], at: int = 0) -> None:
        """`at`: the place of the cursor."""
        super().__init__()
        self.title_text, self.lines, self.at = title, lines, at
        self._shown: list[int] = []

    def compose(self) -> ComposeResult:
        """Title, line, list."""
        with Vertical(classes="dialog tall wide"):
            yield Static(self.title_text, classes="heading", markup=False)
            yield Input(placeholder="type to find")
            yield OptionList(markup=False)
            yield Static("enter: take it    ↑ ↓: another    esc: as it was", classes="hint", markup=False)

    def on_mount(self) -> None:
        """Everything."""
        self._show("")
        self.query_one(OptionList).highlighted = self.at if self.lines else None

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        self._show(event.value)

    def _show(self, wanted: str) -> None:
        self._shown = matching(self.lines, wanted)
        options = self.query_one(OptionList)
        options.clear_options()
        options.add_options(in_columns([self.lines[n] for n in self._shown]))
        options.highlighted = 0 if self._shown else None

    def action_move(self, by: int) -> None:
        """Move in the list."""
        options = self.query_one(OptionList)
        if options.highlighted is not None:
            options.highlighted = min(max(options.highlighted + by, 0), len(self._shown) - 1)

    @on(Input.Submitted)
    @on(OptionList.OptionSelected)
    def _taken(self) -> None:
        place = self.query_one(OptionList).highlighted
        if place is not None:
            self.dismiss(self._shown[place])

    def action_give_up(self) -> None:
        """Close without."""
        self.dismiss(None)


class Help(ModalScreen[None]):
    """The keys."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,question_mark,enter", "close", "close")]

    def __init__(self, rows: list[tuple[str, str]]) -> None:
        super().__init__()
        self.rows = rows

    def compose(self) -> ComposeResult:
        """The table."""
        table = Table.grid(padding=(0, 2))
        table.add_column(justify="right", style="bold")
        for key, text in self.rows:
            table.add_row(key, text)
        with VerticalScroll(classes="dialog tall"):
            yield Static(table)

    def action_close(self) -> None:
        """Close."""
        self.dismiss(None)
