"""Small windows of the form: one of several choices, and a text to read and to copy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static


class Pick(ModalScreen[int | None]):
    """One of many lines, found by typing; the answer is its number."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "give_up", "back"),
        Binding("down", "move(1)", "down", priority=True),
        Binding("up", "move(-1)", "up", priority=True),
        Binding("pagedown", "move(10)", "down", priority=True),
        Binding("pageup", "move(-10)", "up", priority=True),
    ]

    def __init__(self, title: str, lines: Sequence[tuple[str, str]], at: int = 0) -> None:
        """`lines`: (name, what it is)."""
        super().__init__()
        self.title_text, self.lines, self.at = title, lines, at
        self._shown: list[int] = []

    def compose(self) -> ComposeResult:
        """Title, line, list."""
        with Vertical(classes="dialog tall"):
            yield Static(self.title_text, classes="heading", markup=False)
            yield Input(placeholder="type to find")
            yield OptionList(markup=False)
            yield Static("enter: take it    esc: as it was", classes="hint", markup=False)

    def on_mount(self) -> None:
        """Everything."""
        self._show("")
        self.query_one(OptionList).highlighted = self.at if self.lines else None

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        self._show(event.value)

    def _show(self, wanted: str) -> None:
        words = wanted.lower().split()
        named = [n for n, (name, _) in enumerate(self.lines) if all(w in name.lower() for w in words)]
        others = [
            n for n, line in enumerate(self.lines) if n not in named and all(w in " ".join(line).lower() for w in words)
        ]
        self._shown = [*named, *others]
        width = min(max((len(self.lines[n][0]) for n in self._shown), default=0), 34)
        options = self.query_one(OptionList)
        options.clear_options()
        for n in self._shown:
            name, about = self.lines[n]
            line = Text.assemble(f"{name:<{width}}  ", (about, "dim"), no_wrap=True)
            line.truncate(max(min(self.size.width, 78) - 8, 8), overflow="ellipsis")
            options.add_option(line)
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


class Texts(ModalScreen[None]):
    """The command and the file, to be read and copied."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter,v", "close", "close"),
        Binding("c", "copy(0)", "copy the command"),
        Binding("t", "copy(1)", "copy the file"),
    ]

    def __init__(self, command: str, toml: str) -> None:
        super().__init__()
        self.texts = (command, toml)

    def compose(self) -> ComposeResult:
        """Both."""
        with VerticalScroll(classes="dialog tall"):
            yield Static("The command", classes="heading", markup=False)
            yield Static(self.texts[0], markup=False)
            yield Static("\nThe same as a file", classes="heading", markup=False)
            yield Static(self.texts[1], markup=False)
            yield Static("c: copy the command    t: copy the file    esc: close", classes="hint", markup=False)

    def action_copy(self, which: int) -> None:
        """To the terminal's clipboard."""
        self.app.copy_to_clipboard(self.texts[which])
        self.notify("copied", markup=False)

    def action_close(self) -> None:
        """Close."""
        self.dismiss(None)
