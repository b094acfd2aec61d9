"""`--option KEY=VALUE`: settings of a component given on the command line."""

from __future__ import annotations

import tomllib
from typing import Any

from nanochat_framework.errors import UsageError


def read_options(texts: list[str]) -> dict[str, Any]:
    """The settings, by key; a value is in TOML's notation, or stands as it is where it is none. Raises UsageError."""
    return dict(_option(text) for text in texts)


def _option(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UsageError(f"--option {text}: write KEY=VALUE")
    try:
        return key, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key, value
