"""Keys that a person chose: checked against the table of keys, one line for what will not do."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from textual.binding import Binding
from textual.keys import KEY_NAME_REPLACEMENTS, Keys

from nanochat_tui.keys import KEYS, Key, keys_of, shown

_TAKEN = {"ctrl+c": "copies", "ctrl+p": "opens the palette", "ctrl+q": "quits", "tab": "goes to the next part"}
"""Keys that every screen has already."""
_MODIFIERS = re.compile(r"(?:(?:ctrl|alt|shift|super|meta|hyper)\+)*(.+)", re.DOTALL)
_NAMES = {str(key.value) for key in Keys} | set(KEY_NAME_REPLACEMENTS.values())


def checked(wanted: Mapping[str, Any]) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Keys by the name of their action, as Textual writes them, and a line for each wish that cannot be met.

    Wishes are met together, so two actions may change places; one that would leave two actions with one key on one
    screen is not met, and its action keeps the key that it has by default.
    """
    notes: list[str] = []
    met: dict[str, tuple[str, ...]] = {}
    known = {key.name for key in KEYS}
    for name, value in wanted.items():
        keys = _keys(value)
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            notes.append(f"keys.{name}: no such action{f'; {near[0]}?' if near else ''} (nanochat tui --keys)")
        elif isinstance(keys, str):
            notes.append(f"keys.{name}: {keys}")
        else:
            met[name] = keys
    while clash := _clash(met):
        name, line = clash
        del met[name]
        notes.append(line)
    return met, notes


def _keys(value: Any) -> tuple[str, ...] | str:
    """The keys of a wish, or what is wrong with it."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text for text in texts):
        return 'a key, or a list of keys, is wanted: "p", ["p", "f5"]'
    keys = []
    for text in texts:
        key = _normal(text)
        if key is None:
            return f"{text!r} is no key; like p, P, f5, ctrl+r, space, /"
        if key in _TAKEN:
            return f"{text} {_TAKEN[key]} already"
        keys.append(key)
    return tuple(dict.fromkeys(keys))


def _normal(text: str) -> str | None:
    """A key as Textual names it; None where there is none like it."""
    found = _MODIFIERS.fullmatch(text)
    last = found[1] if found else ""
    if len(last) == 1 and last.isprintable():
        (binding,) = Binding.make_bindings([Binding(last, "")])  # `?` is question_mark to Textual
        return text[: len(text) - 1] + binding.key
    if last in _NAMES:
        return text
    try:
        unicodedata.lookup(last.replace("_", " "))  # Textual names keys as Unicode does: equals_sign
    except KeyError:
        return None
    return text


def _clash(met: Mapping[str, tuple[str, ...]]) -> tuple[str, str] | None:
    """A wish that gives an action the key of another one on some screen, and a line that says so."""
    for screen in sorted({screen for key in KEYS for screen in key.where}):
        owner: dict[str, str] = {}
        rows = [key for key in KEYS if screen in key.where]
        for row in sorted(rows, key=lambda row: row.name in met):  # the defaults have their keys first
            for key in _of(row, met):
                other = owner.setdefault(key, row.name)
                if other != row.name:
                    return row.name, f"keys.{row.name}: {shown(key)} is {other} already ({screen})"
    return None


def _of(row: Key, met: Mapping[str, tuple[str, ...]]) -> Iterable[str]:
    return met.get(row.name, (row.key,))


def as_toml() -> str:
    """Every action with its key of now, as a table to copy from."""
    lines = ["[keys]"]
    for name in dict.fromkeys(key.name for key in KEYS):
        rows = [key for key in KEYS if key.name == name]
        keys = [f'"{key}"' for key in keys_of(rows[0])]
        value = keys[0] if len(keys) == 1 else f"[{', '.join(keys)}]"
        screens = ", ".join(dict.fromkeys(screen for row in rows for screen in row.where))
        lines.append(f"{f'{name} = {value}':<34} # {screens}: {rows[0].help}")
    return "\n".join(lines)
