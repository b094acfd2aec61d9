"""`KEY=VALUE` on the command line: settings of a component (`--option`), or of a run."""

from __future__ import annotations

import tomllib
from typing import Any

from nanochat_framework.errors import UsageError


def read_options(texts: list[str], *, what: str = "--option") -> dict[str, Any]:
    """The settings, by key; a value is in TOML's notation, or stands as it is where it is none. Raises UsageError."""
    return dict(_option(text, what) for text in texts)


def _option(text: str, what: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UsageError(f"{what} {text}: write KEY=VALUE")
    try:
        return key, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key, value
