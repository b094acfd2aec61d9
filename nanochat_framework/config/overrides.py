"""`--set a.b.0.c=VALUE`: one key changed from the command line, before validation, with the same messages as the file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import tomli

from nanochat_framework.errors import Problem

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True)
class Override:
    """A parsed `--set`."""

    path: tuple[str | int, ...]
    value: Any
    text: str

    @property
    def where(self) -> str:
        """How messages name it."""
        return f"--set {self.text.partition('=')[0]}"


def parse_override(text: str) -> Override | Problem:
    """Parse `key=value`; the value is read as TOML, and as a plain string where it is none."""
    key, equals, value = text.partition("=")
    where = f"--set {text!r}" if _CONTROL.search(text) else f"--set {text}"
    if not equals or not key.strip():
        return Problem(where, "", "expected KEY=VALUE, for example train.steps=2000")
    if _CONTROL.search(text):
        return Problem(where, "", "control characters are not allowed")
    parts = [part.strip() for part in key.split(".")]
    if not all(parts):
        return Problem(where, "", "a part of the key is empty")
    return Override(tuple(int(part) if part.isdigit() else part for part in parts), _value(value.strip()), text)


def _value(text: str) -> Any:
    try:
        return tomli.loads(f"v = {text}")["v"]
    except tomli.TOMLDecodeError:
        return text


def apply_override(data: dict[str, Any], override: Override) -> Problem | None:
    """Change one key of parsed TOML, in place. Tables that do not exist are made; numbers index arrays of tables.

    A new `name` of a component drops the other keys of its table: they belong to the component that was named before.
    """
    node: Any = data
    *parents, last = override.path
    for depth, part in enumerate(parents):
        step = _enter(node, part)
        if step is None:
            return Problem(override.where, "", _cannot_enter(override.path[: depth + 1], node))
        node = step
    if isinstance(node, list):
        if not isinstance(last, int) or last >= len(node):
            return Problem(override.where, "", _cannot_enter(override.path, node))
        node[last] = override.value
        return None
    if not isinstance(node, dict):
        return Problem(override.where, "", _cannot_enter(override.path, node))
    if last == "name" and node.get("name") not in (None, override.value):
        kept = {key: node[key] for key in ("match", "schedule", "schedules") if key in node}
        node.clear()
        node.update(kept)
    node[str(last)] = override.value
    return None


def _enter(node: Any, part: str | int) -> Any:
    if isinstance(node, list):
        return node[part] if isinstance(part, int) and part < len(node) else None
    if isinstance(node, dict):
        name = str(part)
        if isinstance(node.get(name), str):
            node[name] = {"name": node[name]}  # a component given by its bare name
        return node.setdefault(name, {})
    return None


def _cannot_enter(path: tuple[str | int, ...], node: Any) -> str:
    shown = ".".join(map(str, path))
    if isinstance(node, list):
        return f"{shown}: there are {len(node)} tables there, numbered from 0"
    return f"{shown}: there is no table there"
