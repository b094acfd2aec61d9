"""From validation errors to lines a person can act on: where, which key, what is wrong, what was probably meant."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from nanochat_framework.config.known_keys import KnownKeys, Owner, is_array_of_tables, section_header
from nanochat_framework.config.layers import EXTENDS
from nanochat_framework.config.run_config import RESERVED_SECTIONS, RunConfig
from nanochat_framework.errors import Problem

Location = tuple[str | int, ...]

_EXPECTED = {
    "int_type": "expected an integer",
    "float_type": "expected a number",
    "bool_type": "expected true or false",
    "string_type": "expected a string",
    "path_type": "expected a string",
    "tuple_type": "expected an array",
    "list_type": "expected an array",
    "set_type": "expected an array",
    "dict_type": "expected a table",
    "mapping_type": "expected a table",
    "model_type": "expected a table",
    "model_attributes_type": "expected a table",
    "component_table": "expected a table with a name, or a name",
    "literal_error": "expected {expected}",
    "enum": "expected {expected}",
    "greater_than": "must be greater than {gt:.10g}",
    "greater_than_equal": "must be at least {ge:.10g}",
    "less_than": "must be less than {lt:.10g}",
    "less_than_equal": "must be at most {le:.10g}",
    "multiple_of": "must be a multiple of {multiple_of:g}",
    "finite_number": "must be a finite number",
    "string_pattern_mismatch": "must match {pattern}",
    "string_too_short": "must not be shorter than {min_length}",
    "string_too_long": "must not be longer than {max_length}",
    "too_short": "needs at least {min_length}",
    "too_long": "takes at most {max_length}",
}
"""What pydantic's types of error say here: TOML's words, and what was given after them."""


def explain(
    error: ValidationError,
    data: Mapping[str, Any],
    where: Callable[[Location], str],
    known: KnownKeys,
) -> list[Problem]:
    """One problem for each error, sorted by line.

    Args:
        error: what validation raised.
        data: the parsed TOML it was raised for.
        where: location of a path, `file:line`.
        known: keys of sections and of the components that the data names.
    """
    problems = []
    items = error.errors(include_url=False)
    for item in items:
        location, kind = tuple(item["loc"]), item["type"]
        context = item.get("ctx", {})
        if _only_follows(item, items):
            continue
        if kind == "extra_forbidden":
            message = _unknown_key(location, item["input"], data, known)
        elif kind == "missing":
            message = _missing(location, data, known)
        elif kind == "tuple_type" and len(location) == 1 and is_array_of_tables(str(location[0])):
            message = f"expected tables written [[{location[0]}]]{_got(item['input'])}"
        elif kind in _EXPECTED:
            message = _EXPECTED[kind].format_map(context) + _got(item["input"])
        elif kind in ("component_unknown", "component_broken"):
            location, message = (*location, "name"), context["message"]
        elif kind == "value_error":
            message = str(context["error"])
        else:
            message = item["msg"][:1].lower() + item["msg"][1:]
        problems.append(Problem(where(location), ".".join(map(str, location)), _one_line(message)))
    return sorted(problems, key=_by_line)


def _is_inside(location: Location, outer: Location) -> bool:
    return len(location) > len(outer) and location[: len(outer)] == outer


def all_absent(error: ValidationError) -> bool:
    """Whether nothing is wrong but components that a plugin which did not load may have."""
    items = error.errors(include_url=False)
    return all(item.get("ctx", {}).get("absent") is True for item in items if not _only_follows(item, items))


def _only_follows(item: Mapping[str, Any], items: Sequence[Mapping[str, Any]]) -> bool:
    """Whether an array is called too short only because pydantic does not count members that are wrong themselves."""
    location = tuple(item["loc"])
    return item["type"] == "too_short" and any(_is_inside(tuple(other["loc"]), location) for other in items)


def _by_line(problem: Problem) -> tuple[str, int, str]:
    file, _, line = problem.where.rpartition(":")
    return (file, int(line), problem.path) if line.isascii() and line.isdigit() else (problem.where, 0, problem.path)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _got(value: Any) -> str:
    """What was given, in TOML's notation."""
    if isinstance(value, Mapping):
        shown = "a table"
    elif isinstance(value, list | tuple):
        shown = f"an array of {len(value)}"
    elif isinstance(value, bool | str):
        shown = json.dumps(value, ensure_ascii=False)
    elif hasattr(value, "isoformat"):
        shown = f"the date or time {value.isoformat()}"
    else:
        shown = str(value)
    return f" (got {shown if len(shown) < 60 else shown[:57] + '...'})"


def _missing(location: Location, data: Mapping[str, Any], known: KnownKeys) -> str:
    """Which key, and what it is for."""
    *parents, key = location
    if isinstance(key, int):
        return "is missing: the array is too short"
    if not parents:
        return f"the section {section_header(key)} is missing: {RunConfig.model_fields[key].description}"
    owner = _owner(tuple(parents), data, known)
    purpose = owner.keys.get(key, "")
    return f"is missing, and {owner.label} needs it{': ' + purpose if purpose else ''}"


def _unknown_key(location: Location, value: Any, data: Mapping[str, Any], known: KnownKeys) -> str:
    """What a key was probably meant to be, or where it belongs."""
    *parents, last = location
    key = str(last)
    if not parents:
        return _unknown_section(key, data[key], known)
    owner = _owner(tuple(parents), data, known)
    what = f"unknown key for {owner.label}"
    if key in RunConfig.model_fields:
        name = f" name = {json.dumps(value, ensure_ascii=False)}" if isinstance(value, str) else ""
        return f"{what}; {key!r} is a section of its own, written {section_header(key)}{name}"
    near = _near(key, list(owner.keys))
    if near and key != EXTENDS:
        return f"{what}; did you mean {near!r}?"
    homes = known.homes(key, but=owner.label)
    if homes:
        return f"{what}; {key!r} belongs {homes[0]}"
    return f"{what}; it has: {', '.join(owner.keys)}" if owner.keys else f"{what}; it has no settings"


def _unknown_section(key: str, value: Any, known: KnownKeys) -> str:
    if key in RESERVED_SECTIONS:
        return f"reserved for {RESERVED_SECTIONS[key]}, which this version does not have"
    what = "unknown section" if isinstance(value, Mapping | list) else "unknown key"
    near = _near(key, list(RunConfig.model_fields))
    if near:
        return f"{what}; did you mean {near!r}?"
    homes = known.homes(key)
    if homes:
        return f"{what}; {key!r} belongs {homes[0]}"
    return f"{what}; the sections are: {', '.join(map(section_header, RunConfig.model_fields))}"


def _near(word: str, words: list[str]) -> str | None:
    import difflib

    return next(iter(difflib.get_close_matches(word, words, n=1)), None)


def _owner(parents: Location, data: Mapping[str, Any], known: KnownKeys) -> Owner:
    """Who has the keys of a table: `optimizer muon`, or a section."""
    node: Any = data
    for part in parents:
        try:
            node = node[part]
        except (KeyError, IndexError, TypeError):
            node = None
            break
    names = [str(part) for part in parents if isinstance(part, str)]
    if len(names) > 1 and names[-2] == "schedules":
        names.append("schedule")  # schedules = { momentum = { name = ... } }
    name = node if isinstance(node, str) else node.get("name") if isinstance(node, Mapping) else None
    return known.owner(names[-1], name)
