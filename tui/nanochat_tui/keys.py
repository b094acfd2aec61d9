"""Every key of the dashboard, in one table: the footer, the help and the command palette are made from it."""

from __future__ import annotations

from dataclasses import dataclass

from textual.binding import Binding, BindingType


@dataclass(frozen=True)
class Key:
    """`where`: the screens that know it; `footer`: whether it is worth a place at the bottom."""

    key: str
    action: str
    label: str
    help: str
    where: tuple[str, ...]
    footer: bool = False


RUNS, RUN = ("runs",), ("run",)
BOTH = RUNS + RUN

KEYS = (
    Key(
        "slash",
        "search",
        "find",
        "runs: filter, e.g. lr>0.01 and state=running; log: only lines with a text",
        BOTH,
        footer=True,
    ),
    Key("escape", "back", "back", "close what is open, clear the filter, go back to the runs", BOTH),
    Key("s", "sort", "sort", "sort by the next column", RUNS, footer=True),
    Key("S", "reverse", "turn round", "turn the order round", RUNS),
    Key("t", "tag", "tag", "add and remove tags", BOTH),
    Key("D", "delete", "delete", "delete the run and everything in it (asks first)", RUNS),
    Key("question_mark", "help", "help", "these keys", BOTH, footer=True),
    Key("q", "quit", "quit", "leave; no training notices", BOTH, footer=True),
)


def bindings(where: str) -> list[BindingType]:
    """The table's part of one screen, as Textual takes it."""
    return [Binding(key.key, key.action, key.label, show=key.footer) for key in KEYS if where in key.where]


def shown(key: str) -> str:
    """A key as people write it."""
    names = {"slash": "/", "question_mark": "?", "plus": "+", "minus": "-", "equals_sign": "=", "escape": "esc"}
    return {**names, "left": "←", "right": "→"}.get(key, key)


def help_text(where: str) -> str:
    """The table's part of one screen, to be read."""
    rows = [(shown(key.key), key.help) for key in KEYS if where in key.where]
    return "\n".join(
        f"{key:>6}  {text}" for key, text in [*rows, ("ctrl+p", "all of this by name"), ("tab", "to the next part")]
    )
