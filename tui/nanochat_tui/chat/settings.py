"""The settings of how text is drawn as lines of a form; names, values and explanations come from the model's process."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from nanochat_tui.forms import Field, Values

DIVIDER = " | "
_SIGNS = {"n": "\n", "t": "\t", "\\": "\\"}
_ESCAPED = re.compile(r"\\([nt\\])")


def fields(settings: Mapping[str, Any], explained: Mapping[str, str]) -> list[Field]:
    """A line a setting."""
    return [Field(name, explained.get(name, ""), written(value), literal=True) for name, value in settings.items()]


def taken(texts: Values, before: Mapping[str, Any]) -> dict[str, Any]:
    """What stands in the lines, each as the kind of value that it had before."""
    return {name: read(text, before[name]) for name, text in texts.items()}


def written(value: Any) -> str:
    """A value as a person writes it: texts with `|` between them and \\n for a new line."""
    if isinstance(value, list):
        return DIVIDER.join(text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t") for text in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def read(text: str, before: Any) -> Any:
    """What was written, as the kind of value that was there; what is no number stays text, which the process refuses."""
    if isinstance(before, list):
        parts = text.split(DIVIDER) if text else []
        return [_ESCAPED.sub(lambda found: _SIGNS[found[1]], part) for part in parts]
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if type(value) in (int, float) else text
