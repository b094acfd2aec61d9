"""From validation errors to lines a person can act on: where, which key, what is wrong, what was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from nanochat_framework.config.run_config import RESERVED_SECTIONS, RunConfig
from nanochat_framework.errors import Problem

Location = tuple[str | int, ...]
_TOML_WORDS = {
    "int_parsing": "expected an integer",
    "int_type": "expected an integer",
    "int_from_float": "expected an integer",
    "float_parsing": "expected a number",
    "float_type": "expected a number",
    "bool_parsing": "expected true or false",
    "bool_type": "expected true or false",
    "string_type": "expected a string",
    "tuple_type": "expected an array",
    "dict_type": "expected a table",
    "model_type": "expected a table",
    "model_attributes_type": "expected a table",
    "missing": "is missing",
}


def explain(
    error: ValidationError,
    data: Mapping[str, Any],
    where: Callable[[Location], str],
    known: Mapping[str, Sequence[str]],
) -> list[Problem]:
    """One problem for each error.

    Args:
        error: what validation raised.
        data: the parsed TOML it was raised for.
        where: location of a path, `file:line`.
        known: keys of each section, for telling where a misplaced key belongs.
    """
    problems = []
    for item in error.errors(include_url=False):
        location = tuple(item["loc"])
        kind, message = item["type"], item["msg"]
        if kind == "extra_forbidden":
            message = _unknown_key(location, data, known)
        elif kind == "literal_error":
            message = f"expected {item['ctx']['expected']}{_got(item['input'])}"
        elif kind in _TOML_WORDS:
            message = _TOML_WORDS[kind] + ("" if kind == "missing" else _got(item["input"]))
        elif kind.startswith("component_"):
            location = (*location, "name") if kind in ("component_unknown", "component_broken") else location
        elif kind == "value_error":
            message = str(item["ctx"]["error"])
        elif "input" in item:
            message = message[:1].lower() + message[1:] + _got(item["input"])
        problems.append(Problem(where(location), ".".join(map(str, location)), message))
    return sorted(problems, key=lambda problem: (problem.where, problem.path))


def _got(value: Any) -> str:
    shown = repr(value)
    if isinstance(value, bool):
        shown = str(value).lower()
    elif isinstance(value, Mapping):
        shown = "a table"
    elif isinstance(value, list | tuple):
        shown = "an array"
    return f" (got {shown if len(shown) < 60 else shown[:57] + '...'})"


def _unknown_key(location: Location, data: Mapping[str, Any], known: Mapping[str, Sequence[str]]) -> str:
    key = str(location[-1])
    if len(location) == 1:
        if key in RESERVED_SECTIONS:
            return f"this table is reserved for {RESERVED_SECTIONS[key]}, which this version does not have"
        near = difflib.get_close_matches(key, RunConfig.model_fields, n=1)
        return "unknown section" + (f"; did you mean {near[0]!r}?" if near else "")
    owner, allowed = _owner(location, data, known)
    near = difflib.get_close_matches(key, allowed, n=1)
    if near:
        return f"unknown key for {owner}; did you mean {near[0]!r}?"
    homes = sorted(
        (section for section, keys in known.items() if key in keys and section != owner),
        key=lambda section: not section.startswith("["),
    )
    hint = f"; {key!r} belongs under {homes[0]}" if homes else ""
    listed = f"; it has: {', '.join(allowed)}" if allowed else "; it has no settings"
    return f"unknown key for {owner}{hint}{listed}"


def _owner(
    location: Location, data: Mapping[str, Any], known: Mapping[str, Sequence[str]]
) -> tuple[str, Sequence[str]]:
    """Who refuses the key: `optimizer muon`, or a section; and the keys it has."""
    node: Any = data
    for part in location[:-1]:
        try:
            node = node[part]
        except (KeyError, IndexError, TypeError):
            break
    section = next(str(part) for part in reversed(location[:-1]) if isinstance(part, str))
    name = node if isinstance(node, str) else node.get("name") if isinstance(node, Mapping) else None
    for label in (f"{section} {name}", section, f"[{section}]", f"[[{section}]]"):
        if label in known:
            return label, known[label]
    return section, ()


def section_keys() -> dict[str, list[str]]:
    """Keys of the plain sections, by their header."""
    keys: dict[str, list[str]] = {}
    for name, field in RunConfig.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            keys[f"[{name}]"] = list(field.annotation.model_fields)
    return keys
