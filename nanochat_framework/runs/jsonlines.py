"""Append-only files of JSON objects, one a line: written whole lines at a time, read through torn tails."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def encode(record: dict[str, Any]) -> bytes:
    """One line. Floats keep every bit; NaN and infinities, which JSON lacks, become strings."""
    return (json.dumps({key: _plain(value) for key, value in record.items()}, allow_nan=False) + "\n").encode()


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return value


def number(value: Any) -> float:
    """A metric's value back as a float, strings for NaN and infinities included."""
    return float(value)


class JsonLinesWriter:
    """Appends records, each with a single write. A torn last line left by a crash is cut off first."""

    def __init__(self, path: Path) -> None:
        self.path = path
        heal(path)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def write(self, record: dict[str, Any]) -> None:
        """Append one record."""
        os.write(self._descriptor, encode(record))

    def close(self) -> None:
        """Close the file; may be called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def heal(path: Path) -> int:
    """Cut off a last line that is not whole (no newline, or no JSON); returns the bytes cut."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return 0
    with path.open("rb+") as file:
        end = size
        while end > 0:
            start = _line_start(file, end)
            file.seek(start)
            if _parse(file.read(end - start)) is not None:
                break
            end = start
        if end < size:
            file.truncate(end)
    return size - end


def _line_start(file: Any, end: int) -> int:
    """Where the line that ends at `end` (its newline included, if it has one) begins."""
    position = end - 1
    while position > 0:
        begin = max(0, position - 65536)
        file.seek(begin)
        found = file.read(position - begin).rfind(b"\n")
        if found >= 0:
            return int(begin + found + 1)
        position = begin
    return 0


def _parse(line: bytes) -> dict[str, Any] | None:
    if not line.endswith(b"\n"):
        return None
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def read(path: Path) -> Iterator[dict[str, Any]]:
    """All whole records, in order; lines that are none are passed over. Nothing if the file does not exist."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        for line in file:
            record = _parse(line)
            if record is not None:
                yield record
