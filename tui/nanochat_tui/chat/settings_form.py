"""The settings of how text is drawn, as a form; names, values and explanations come from the model's process."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Label, Static

Save = Callable[[dict[str, Any]], None]
DIVIDER = " | "
_SIGNS = {"n": "\n", "t": "\t", "\\": "\\"}
_ESCAPED = re.compile(r"\\([nt\\])")


class SettingsForm(ModalScreen[None]):
    """A line a setting. `save` gets all values; whoever hears what came of it calls `refused`, or closes the form."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "give_up", "back"),
        Binding("up", "app.focus_previous", "up"),
        Binding("down", "app.focus_next", "down"),
    ]
    CSS = """
    SettingsForm .row { height: 1; }
    SettingsForm .row Label { width: 22; }
    SettingsForm .dialog .row Input { width: 1fr; margin: 0; }
    SettingsForm .dialog .row Input:focus { background: $primary 30%; }
    SettingsForm #explained { height: 2; margin-top: 1; color: $text-muted; }
    """

    def __init__(self, values: Mapping[str, Any], explained: Mapping[str, str], save: Save) -> None:
        super().__init__()
        self.values, self.explained, self.save = values, explained, save

    def compose(self) -> ComposeResult:
        """Names and values; what the one in hand means; keys."""
        with VerticalScroll(classes="dialog tall", can_focus=False):
            yield Static("How text is drawn", classes="heading", markup=False)
            for name, value in self.values.items():
                with Horizontal(classes="row"):
                    yield Label(name, markup=False)
                    yield Input(written(value), name=name)  # selected on focus: what is typed takes its place
            yield Static(id="explained", markup=False)
            yield Static("enter: take them    ↑ ↓: another    esc: as they were", classes="hint", markup=False)

    @on(Input.Submitted)
    def _take(self) -> None:
        self.save({field.name or "": read(field.value, self.values[field.name or ""]) for field in self.query(Input)})

    def on_descendant_focus(self) -> None:
        """Say what the setting means."""
        name = self.focused.name if self.focused is not None else None
        if name:
            self.query_one("#explained", Static).update(self.explained.get(name, ""))

    def refused(self, why: str) -> None:
        """Say what is wrong."""
        hint = self.query_one(".hint", Static)
        hint.add_class("wrong")
        hint.update(why)

    def action_give_up(self) -> None:
        """Close without."""
        self.dismiss()


def written(value: Any) -> str:
    """A value as a person writes it: texts with `|` between them and \\n for a new line."""
    if isinstance(value, list):
        return DIVIDER.join(text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t") for text in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def read(text: str, before: Any) -> Any:
    """What was written, as the kind of value that was there; what is no number stays text, which the process refuses."""
    if isinstance(before, list):
        parts = text.split(DIVIDER) if text else []
        return [_ESCAPED.sub(lambda found: _SIGNS[found[1]], part) for part in parts]
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if type(value) in (int, float) else text
