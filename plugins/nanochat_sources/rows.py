"""Documents from rows: a JSON object or a Parquet row, as a mapping, becomes one document."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from nanochat_framework.contracts.source import Document
from nanochat_framework.errors import UsageError
from nanochat_sources.config import RowsConfig
from nanochat_sources.files import LeftOut


class BadRow(Exception):
    """A row that is not a document; the text says why."""


class Rows:
    """Turns rows into documents. Each is a group of its own: rows of one file are as strange to each other as any."""

    def __init__(self, config: RowsConfig) -> None:
        self._config = config
        self._left_out = LeftOut("malformed row")

    def document(self, row: Any, place: str) -> Document | None:
        """The document of a row; None, counted, for a malformed one that may be left out. Raises UsageError."""
        try:
            if not isinstance(row, Mapping):
                raise BadRow(f"is {_kind(row)}, not an object")
            text = self._text(row)
            score = None if self._config.score_field is None else _score(row, self._config.score_field)
            return Document(place, place, text.encode("utf-8", "surrogatepass"), score)
        except BadRow as error:
            self.refuse(place, str(error))
            return None

    def refuse(self, place: str, why: str) -> None:
        """Count a malformed row, or raise UsageError where none may be left out."""
        if not self._config.skip_malformed:
            raise UsageError(
                f"{place}: {why}; correct it, or leave such rows out with skip_malformed (--skip-malformed)"
            )
        self._left_out.add(f"{place}: {why}")

    def done(self) -> None:
        """Tell what was left out, once."""
        self._left_out.tell()

    def _text(self, row: Mapping[str, Any]) -> str:
        field = self._config.field
        name = field or next((name for name in ("text", "messages") if name in row), "text")
        if name not in row:
            names = ", ".join(map(repr, list(row)[:8])) or "none"
            raise BadRow(f"has no field {name!r} (it has: {names}); name the field with the text (--field)")
        value = row[name]
        if isinstance(value, str):
            return value
        if isinstance(value, list):
            return _joined(value, name)
        raise BadRow(f"its field {name!r} is {_kind(value)}, not a text or a list of messages")


def _joined(messages: list[Any], name: str) -> str:
    """The contents of a conversation, a blank line between two. Who spoke is for later stages."""
    contents = [message.get("content") if isinstance(message, Mapping) else None for message in messages]
    for number, content in enumerate(contents):
        if not isinstance(content, str):
            raise BadRow(f"message {number + 1} of its field {name!r} has no text as its content")
    return "\n\n".join(content for content in contents if content)


def _score(row: Mapping[str, Any], name: str) -> float:
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadRow(f"its score {name!r} is {_kind(value)}, not a finite number")
    return float(value)


def _kind(value: Any) -> str:
    if value is None:
        return "absent or null"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return {str: "a text", list: "a list", dict: "an object", bool: "true or false", bytes: "bytes"}.get(
        type(value), "a number" if isinstance(value, int | float) else f"a {type(value).__name__}"
    )
