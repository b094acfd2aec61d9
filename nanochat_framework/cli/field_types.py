"""Types and defaults of settings in TOML's words, for `nanochat components show`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from nanochat_framework.config.component import StrictModel
from nanochat_framework.config.selection import Select, Selected

_WORDS: dict[Any, str] = {int: "integer", float: "number", bool: "boolean", str: "string", dict: "table", list: "array"}
_BOUNDS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "multiple_of": "multiple of"}


def describe_type(field: FieldInfo) -> str:
    """A field's type with its bounds: `integer, > 0`."""
    return _with_bounds(field.annotation, list(field.metadata))


def describe_default(field: FieldInfo) -> str:
    """A field's default as TOML would hold it; `required` and `absent` where there is none."""
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    return "absent" if default is None else _literal(default)


def describe_choices(field: FieldInfo) -> list[Any] | None:
    """The values that a field can have, where they are few: those of a literal, true and false; else None."""
    inner = [each for each in _members(field.annotation) if each is not type(None)]
    if inner == [bool]:
        return [True, False]
    if not inner or any(get_origin(each) is not Literal for each in inner):
        return None
    return [value for each in inner for value in get_args(each)]


def _members(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def _with_bounds(annotation: Any, metadata: list[Any]) -> str:
    for item in metadata:
        if isinstance(item, Select):
            return f"component: {item.kind}"
    flat = [part for item in metadata for part in (item.metadata if isinstance(item, FieldInfo) else [item])]
    bounds = [
        f"{sign} {getattr(part, name):g}" for part in flat for name, sign in _BOUNDS.items() if hasattr(part, name)
    ]
    return ", ".join([_plain(annotation), *bounds])


def _plain(annotation: Any) -> str:
    """The type without the field's own bounds."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if hasattr(annotation, "__metadata__"):
        return _with_bounds(annotation.__origin__, list(annotation.__metadata__))
    if origin is Literal:
        return " or ".join(_literal(value) for value in inner)
    if origin in (Union, UnionType):
        return " or ".join(_plain(each) for each in inner if each is not type(None))
    if origin is tuple and inner and inner[-1] is not Ellipsis:
        kinds = list(dict.fromkeys(_plain(each) for each in inner))
        return f"array of {len(inner)}: {' and '.join(kinds)}"
    if origin in (tuple, list):
        return f"array of {_plain(inner[0])}"
    if origin is dict:
        return f"table of {_plain(inner[1])}"
    if origin is Selected:
        return "component"
    if isinstance(annotation, type) and issubclass(annotation, StrictModel):
        return "table"
    return _WORDS.get(annotation) or str(getattr(annotation, "__name__", annotation))


def _literal(value: Any) -> str:
    if isinstance(value, bool | str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Selected):
        return f'"{value.name}"'
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_literal, value))}]"
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{key} = {_literal(each)}' for key, each in value.items())} }}" if value else "{}"
    return str(value)
