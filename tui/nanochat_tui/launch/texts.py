"""The command and the file of a form, to be read and to be copied."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static


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
