"""A configuration back as TOML, laid out as a person would write it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from nanochat_framework.config.run_config import RunConfig

_BARE = re.compile(r"[A-Za-z0-9_-]+\Z")


def dump_toml(config: RunConfig) -> str:
    """TOML with every default filled in; it loads to an equal configuration.

    A section is a table or an array of tables; what is inside a section is written inline, as in the presets.
    """
    return "\n".join(_sections(config.to_dict()))


def _sections(data: Mapping[str, Any]) -> Iterator[str]:
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
