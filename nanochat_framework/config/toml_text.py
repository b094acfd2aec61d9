"""Values, tables and whole configurations as TOML text, laid out as a person would write them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+\Z")


def toml_sections(data: Mapping[str, Any]) -> Iterator[str]:
    """A resolved configuration as TOML, section by section."""
    for name, value in data.items():
        if isinstance(value, Mapping):
            yield toml_table(f"[{_key(name)}]", value)
        else:
            yield from (toml_table(f"[[{_key(name)}]]", member) for member in value)


def toml_table(header: str, table: Mapping[str, Any]) -> str:
    """A table under a header, its values inline."""
    return "\n".join([header, *(f"{_key(key)} = {toml_value(value)}" for key, value in table.items())]) + "\n"


def _key(key: str) -> str:
    return key if _BARE.match(key) else _string(key)


def _string(text: str) -> str:
    """A basic string: JSON's escapes are TOML's, but for DEL, which TOML wants escaped."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def toml_value(value: Any) -> str:
    """A value inline. Only what `to_dict` gives: strings, numbers, booleans, arrays, tables."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        inside = ", ".join(f"{_key(key)} = {toml_value(member)}" for key, member in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    raise TypeError(f"TOML has no form for {type(value).__name__}")
