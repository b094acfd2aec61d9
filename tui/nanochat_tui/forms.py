"""A small form: a line for each field, one of them explained at a time, checked before it closes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.message import Message
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Input, Static

from nanochat_framework.errors import NanochatError

Values = dict[str, str]
LEAST_LABEL = 12
"""Cells of the names of a form's lines."""


@dataclass(frozen=True)
class Field:
    """A line of a form. With `choices` the value is one of them; `shown` stands where nothing is typed.

    A `literal` value is short and taken as it is: spaces at its ends count, and what is typed takes its place.
    """

    key: str
    help: str
    value: str = ""
    choices: tuple[str, ...] = ()
    shown: str = ""
    literal: bool = False


class Choice(Static, can_focus=True):
    """One of a few values: left and right change it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "turn(-1)", "before"),
        Binding("right,space", "turn(1)", "next"),
        Binding("enter", "submit", "done"),
    ]

    class Submitted(Message):
        """Enter was pressed."""

    def __init__(self, field: Field, *, id: str) -> None:
        super().__init__(id=id, name=field.key, markup=False)
        self.field = field
        self.value = field.value if field.value in field.choices else field.choices[0]

    def on_mount(self) -> None:
        """Show the value."""
        self.action_turn(0)

    def action_turn(self, by: int) -> None:
        """To the next value, or the one before."""
        choices = self.field.choices
        self.value = choices[(choices.index(self.value) + by) % len(choices)]
        self.update(f"‹ {self.value} ›  {choices.index(self.value) + 1}/{len(choices)}")

    def action_submit(self) -> None:
        """The form is filled in."""
        self.post_message(self.Submitted())


class Form(ModalScreen[Values | None]):
    """Values by key; None if it was given up. `check` raises NanochatError for values that will not do."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "give_up", "back"),
        Binding("up", "app.focus_previous", "up"),
        Binding("down", "app.focus_next", "down"),
    ]
    DEFAULT_CSS = """
    Form #form-fields { height: auto; max-height: 60vh; margin: 1 0; scrollbar-size-vertical: 1; }
    Form .row { height: 1; }
    Form .label { padding: 0 1 0 0; text-align: right; color: $text-muted; text-wrap: nowrap; }
    Form Input, Form Choice { width: 1fr; height: 1; padding: 0 1; background: $boost; }
    Form Choice:focus, Form Input:focus { background: $primary 40%; }
    Form #form-help { height: auto; min-height: 2; max-height: 6; }
    """

    def __init__(
        self,
        title: str,
        fields: Sequence[Field],
        *,
        does: str,
        check: Callable[[Values], Awaitable[object]] | None = None,
    ) -> None:
        """`does`: what enter does, in a word."""
        super().__init__()
        self.title_text, self.fields, self.does, self._check = title, fields, does, check

    def compose(self) -> ComposeResult:
        """Title, lines, the explanation of one, keys."""
        with Vertical(classes="dialog tall wide"):
            yield Static(self.title_text, classes="heading", markup=False)
            width = max(LEAST_LABEL, *(len(field.key) + 1 for field in self.fields))
            with VerticalScroll(id="form-fields", can_focus=False):
                for number, field in enumerate(self.fields):
                    with Horizontal(classes="row"):
                        label = Static(field.key, classes="label", markup=False)
                        label.styles.width = width
                        yield label
                        yield self._control(field, f"field-{number}")
            yield Static(self.fields[0].help, id="form-help", classes="hint", markup=False)
            values = "← →: value    " if any(field.choices for field in self.fields) else ""
            keys = f"enter: {self.does}    ↑ ↓: line    {values}esc: back"
            yield Static(keys, classes="hint keys", markup=False)

    @staticmethod
    def _control(field: Field, id: str) -> Widget:
        if field.choices:
            return Choice(field, id=id)
        return Input(field.value, field.shown, id=id, name=field.key, compact=True, select_on_focus=field.literal)

    def values(self) -> Values:
        """What stands in the form."""
        found = {}
        for number, field in enumerate(self.fields):
            control = self.query_one(f"#field-{number}")
            assert isinstance(control, Input | Choice)
            found[field.key] = control.value if field.literal else control.value.strip()
        return found

    def say(self, text: str, *, wrong: bool = False) -> None:
        """Show a line below the fields."""
        hint = self.query_one("#form-help", Static)
        hint.set_class(wrong, "wrong")
        hint.update(text)

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """Explain the field that is to be filled in."""
        number = str(event.widget.id).removeprefix("field-")
        if number.isdecimal():
            self.say(self.fields[int(number)].help)

    @on(Input.Submitted)
    @on(Choice.Submitted)
    def submit(self) -> None:
        """Close if the values will do."""
        self._submit()

    @work(exclusive=True)
    async def _submit(self) -> None:
        values = self.values()
        if self._check is not None:
            self.say("checking…")
            try:
                await self._check(values)
            except NanochatError as error:
                self.say(str(error), wrong=True)
                return
        self.dismiss(values)

    def action_give_up(self) -> None:
        """Close without."""
        self.dismiss(None)
