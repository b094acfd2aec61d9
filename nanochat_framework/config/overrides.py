"""`--set a.b.0.c=VALUE`: one key changed from the command line, before validation, with the same messages as the file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import tomli

from nanochat_framework.config.data_section import SourceRule
from nanochat_framework.config.merge import replaced_by
from nanochat_framework.config.rules import ComponentTable, OptimizerRule, QuantizerRule
from nanochat_framework.errors import Problem

_UNUSABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
"""Control characters (a line break could smuggle in a second key) and bytes that are not UTF-8."""
_RULES: dict[str, type[ComponentTable]] = {
    "optimizer": OptimizerRule,
    "quantizer": QuantizerRule,
    "sources": SourceRule,
}

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Override:
    """A parsed `--set`, or a flag that stands for one."""

    path: Path
    value: Any
    text: str
    flag: str = ""
    table: Path | None = None
    """The table it emptied by choosing another component; what is missing there now is missing because of it."""

    @property
    def where(self) -> str:
        """How messages name it."""
        return self.flag or f"--set {self.text.partition('=')[0]}"


def parse_override(text: str, flag: str = "") -> Override | Problem:
    """Parse `key=value`; the value is read as TOML, and as a plain string where it is none."""
    if _UNUSABLE.search(text):
        shown = text.encode("ascii", "backslashreplace").decode()
        return Problem(f"--set {shown!r}", "", "control characters and bytes that are not UTF-8 are not allowed")
    key, equals, value = text.partition("=")
    where = flag or f"--set {text if len(text) < 60 else text[:57] + '...'}"
    if not equals or not key.strip():
        return Problem(where, "", "expected KEY=VALUE, for example train.steps=2000")
    parts = [part.strip() for part in key.split(".")]
    if not all(parts):
        return Problem(where, "", "a part of the key is empty")
    try:
        parsed = tomli.loads(f"v = {value.strip()}")["v"]
    except RecursionError:
        return Problem(where, "", "the value is nested too deeply")
    except ValueError:  # TOMLDecodeError, or an integer of more digits than Python reads
        parsed = value.strip()
    return Override(tuple(map(_part, parts)), parsed, text, flag)


def _part(text: str) -> str | int:
    return int(text) if re.fullmatch(r"[0-9]{1,6}", text) else text


def apply_overrides(data: dict[str, Any], overrides: Sequence[str | Override]) -> tuple[list[Override], list[Problem]]:
    """Change parsed TOML in place, in order; returns what was applied and what could not be.

    Tables that do not exist are made; numbers index arrays of tables. Another `name` drops the other keys of its
    table, which belong to the component named before; keys that overrides set, before or after it, stay. A key that
    says in another way what a key of the file says takes its place.
    """
    applied: list[Override] = []
    problems: list[Problem] = []
    for given in overrides:
        parsed = parse_override(given) if isinstance(given, str) else given
        problem = parsed if isinstance(parsed, Problem) else _apply(data, parsed, applied)
        if problem is not None:
            problems.append(problem)
    return applied, problems


def _apply(data: dict[str, Any], override: Override, applied: list[Override]) -> Problem | None:
    node: Any = data
    *parents, last = override.path
    for depth, part in enumerate(parents):
        _make_way(node, override.path[: depth + 1])
        step = _enter(node, part)
        if step is None:
            return Problem(override.where, "", _cannot_enter(override.path[: depth + 1], node))
        node = step
    if isinstance(node, list) and isinstance(last, int) and last < len(node):
        node[last] = override.value
    elif isinstance(node, dict):
        other = last == "name" and node.get("name") not in (None, override.value)
        if other:
            _forget(node, override.path)
            override = replace(override, table=override.path[:-1])
        _make_way(node, override.path)
        node[str(last)] = override.value
        if other:
            for earlier in applied:
                if earlier.path[: len(parents)] == tuple(parents) and earlier.path[len(parents) :] not in (
                    (),
                    ("name",),
                ):
                    _apply(data, earlier, [])
    else:
        return Problem(override.where, "", _cannot_enter(override.path, node))
    applied.append(override)
    return None


def _make_way(node: Any, path: Path) -> None:
    """Drop what a key about to be set says in another way; `node` is the table it stands in."""
    for other in replaced_by({str(path[-1]): None}, path[:-1]):
        if isinstance(node, dict):
            node.pop(other, None)


def _forget(table: dict[str, Any], path: Path) -> None:
    """Empty a component's table, but for what belongs to the rule around it."""
    rule = _RULES.get(str(path[-3])) if len(path) > 2 and isinstance(path[-2], int) else None
    own = set(rule.model_fields) - {"component"} if rule else set()
    for key in [key for key in table if key not in own]:
        del table[key]


def _enter(node: Any, part: str | int) -> Any:
    """The table or array at a part of a path; made where nothing is. None if something else is there."""
    if isinstance(node, list):
        return node[part] if isinstance(part, int) and part < len(node) else None
    if isinstance(node, dict):
        name = str(part)
        if isinstance(node.get(name), str):
            node[name] = {"name": node[name]}  # a component given by its bare name
        return node.setdefault(name, {})
    return None


def _cannot_enter(path: Path, node: Any) -> str:
    shown = ".".join(map(str, path))
    if isinstance(node, list):
        return f"{shown}: there are {len(node)} members there, numbered from 0"
    return f"{shown}: there is no table there"
