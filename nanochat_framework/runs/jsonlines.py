"""Append-only files of JSON objects, one a line: written a whole line at a time, read through torn tails.

A line counts once its newline is there. Whatever a crash leaves behind it is never taken for a record: readers stop
before a last line without newline, and pass over lines that are no JSON object.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeGuard

from nanochat_framework.runs.atomic import DiskFull, disk_full_reason

Record = dict[str, Any]
_CHUNK = 1 << 16
_FINGERPRINT = 64


def plain(value: Any) -> Any:
    """Data that JSON can hold: NaN and the infinities become the strings `NaN`, `Infinity` and `-Infinity`."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


LARGEST_INTEGER = 2**63 - 1
"""No count that a run writes is larger."""
_NOT_FINITE = frozenset(("NaN", "Infinity", "-Infinity"))


def number(value: Any) -> Any:
    """Undoes `plain` for a value that is a number: `"NaN"` is `nan` again. Anything else is returned as it is."""
    return float(value) if value.__class__ is str and value in _NOT_FINITE else value


def is_number(value: Any) -> TypeGuard[int | float]:
    """Whether a value read from a file is a number that a float can hold; files may have integers of a thousand digits."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, float) or abs(value) <= LARGEST_INTEGER


def nobody(record: Record) -> None:
    """The listener of a log that nobody listens to."""


def encode(record: Mapping[str, Any]) -> bytes:
    """One line, newline included, in ASCII. Floats are written so that they read back to the same bits."""
    return json.dumps(plain(record), allow_nan=False, separators=(",", ":")).encode("ascii") + b"\n"


def decode(line: bytes) -> Record | None:
    """The record of a line, None if it is not a whole one: no newline, not JSON, or not an object."""
    return _record(line) if line.endswith(b"\n") else None


def _record(line: bytes) -> Record | None:
    """The record of a line that is whole, with or without its newline."""
    try:
        record = _DECODER.decode(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)  # made once: `json.loads` makes one for every line


class JsonLinesWriter:
    """Appends records, each with one write of one line, so that several processes may append to one file.

    A torn last line, left by a crash or by a full disk, is closed with a newline before the next record; readers pass
    over it. (`heal` removes it instead, and may be used only where there is no other writer.) As with a file object, one that
    nobody has any more is closed.
    """

    _descriptor = -1

    def __init__(self, path: Path, *, sync: bool = False) -> None:
        """Open for appending. `sync` makes each record durable (milliseconds each; for rare records)."""
        self.path = path
        self._sync = sync
        self._descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        size = os.fstat(self._descriptor).st_size
        self._torn = size > 0 and os.pread(self._descriptor, 1, size - 1) != b"\n"

    def write(self, record: Mapping[str, Any]) -> None:
        """Append one record. Raises DiskFull or OSError; the file is then readable without the record."""
        data = (b"\n" if self._torn else b"") + encode(record)
        self._torn = True
        try:
            while data:  # once, unless the disk has room for a part only
                data = data[os.write(self._descriptor, data) :]
        except OSError as error:
            reason = disk_full_reason(error)
            if reason:
                raise DiskFull(f"{self.path}: cannot be written: {reason}") from error
            raise
        self._torn = False
        if self._sync:
            self.sync()

    @property
    def descriptor(self) -> int:
        """The open file's; -1 when it is closed."""
        return self._descriptor

    def sync(self) -> None:
        """Make all records so far durable, power cuts included."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the file; may be called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        self.close()


class JsonLinesReader:
    """Iterates over the whole records of a file, oldest first. A file that does not exist has none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.corrupt = 0
        """Lines passed over so far because they are no record (empty lines are not counted)."""
        self.torn_bytes = 0
        """Length of the last line if it has no newline (yet)."""

    def __iter__(self) -> Iterator[Record]:
        self.corrupt = self.torn_bytes = 0
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            return
        with file:
            for line in file:
                record = decode(line)
                if record is not None:
                    yield record
                elif not line.endswith(b"\n"):
                    self.torn_bytes = len(line)
                else:
                    self.corrupt += bool(line.strip())


def read(path: Path) -> JsonLinesReader:
    """All whole records; see `JsonLinesReader`."""
    return JsonLinesReader(path)


def heal(path: Path) -> int:
    """Cut off what follows the last whole record; returns the bytes cut. Only for the file's one writer.

    Raises OSError.
    """
    try:
        file = path.open("rb+")
    except FileNotFoundError:
        return 0
    with file:
        size = file.seek(0, os.SEEK_END)
        end, _ = _last_record(file, size)
        if end < size:
            file.truncate(end)
            os.fsync(file.fileno())
    return size - end


def last(path: Path) -> Record | None:
    """The last whole record, found from the end; None if there is none."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return None
    with file:
        return _last_record(file, file.seek(0, os.SEEK_END))[1]


def lines_backwards(path: Path, end: int | None = None) -> Iterator[bytes]:
    """Whole lines without their newlines, the last one first, of what is before `end` bytes (a line's end; None: all).

    None where there is no file. Raises OSError.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        if end is None:
            end = _line_start(file, file.seek(0, os.SEEK_END) + 1)  # behind the last newline
        if end == 0:
            return
        position, rest = end - 1, b""
        while position > 0:
            begin = max(0, position - _CHUNK)
            file.seek(begin)
            first, *lines = (file.read(position - begin) + rest).split(b"\n")
            yield from reversed(lines)
            rest, position = first, begin
        yield rest


def _last_record(file: BinaryIO, size: int) -> tuple[int, Record | None]:
    """Where the last whole record ends, and the record; (0, None) if there is none."""
    end = size
    while end > 0:
        start = _line_start(file, end)
        file.seek(start)
        record = decode(file.read(end - start))
        if record is not None:
            return end, record
        end = start
    return 0, None


def _line_start(file: BinaryIO, end: int) -> int:
    """Where the line that ends at `end` (its newline included, if it has one) begins."""
    position = end - 1
    while position > 0:
        begin = max(0, position - _CHUNK)
        file.seek(begin)
        found = file.read(position - begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        position = begin
    return 0


class Batch(NamedTuple):
    """What one poll of a `TailReader` found."""

    records: list[Record]
    restarted: bool
    """The file was replaced or cut: forget what came before; `records` are from its beginning."""
    more: bool
    """There is more to read at once."""


class Lines(NamedTuple):
    """What one look at a growing file found: whole lines without newlines; the rest as in `Batch`."""

    lines: list[bytes]
    restarted: bool
    more: bool


class LineTail:
    """Follows a file that others append to: each call of `lines` returns the whole lines that are new.

    It keeps the place behind the last whole line and reads from there, so an unfinished line costs nothing and a healed
    one is never joined with what replaced it. It notices another file under the name (by device and inode) and content
    that changed under it (by the bytes before its place), and then starts over.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.place = 0
        """Bytes of the file that are read."""
        self._identity: tuple[int, int] | None = None
        self._before = b""

    def skip(self) -> None:
        """Go behind the last whole line without reading what is there; to be called first. Raises OSError."""
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            return
        with file:
            status = os.fstat(file.fileno())
            self._identity = (status.st_dev, status.st_ino)
            self.place = _line_start(file, status.st_size + 1)
            file.seek(max(0, self.place - _FINGERPRINT))
            self._before = file.read(min(self.place, _FINGERPRINT))

    def lines(self, max_bytes: int = 1 << 22) -> Lines:
        """New lines, from about `max_bytes` bytes at most. A missing file has none. Raises OSError."""
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            return Lines([], restarted=False, more=False)
        with file:
            restarted = self.place > 0 and not self._same(file)
            if restarted:
                self.place, self._before = 0, b""
            status = os.fstat(file.fileno())
            self._identity = (status.st_dev, status.st_ino)
            file.seek(self.place)
            data = _whole_lines(file, max_bytes)
            size = os.fstat(file.fileno()).st_size
        self.place += len(data)
        self._before = (self._before + data[-_FINGERPRINT:])[-_FINGERPRINT:]
        return Lines(data.split(b"\n")[:-1], restarted, more=bool(data) and size > self.place)

    def _same(self, file: BinaryIO) -> bool:
        status = os.fstat(file.fileno())
        if (status.st_dev, status.st_ino) != self._identity:
            return False
        file.seek(self.place - len(self._before))
        return file.read(len(self._before)) == self._before


class TailReader(LineTail):
    """Follows a file of JSON objects that others append to: each poll returns the whole records that are new."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.corrupt = 0
        """Lines passed over since the beginning of the file because they are no record."""

    def poll(self, max_bytes: int = 1 << 22) -> Batch:
        """New records, from about `max_bytes` bytes at most. A missing file has none. Raises OSError."""
        lines, restarted, more = self.lines(max_bytes)
        if restarted:
            self.corrupt = 0
        records = []
        for line in lines:
            record = _record(line)
            if record is not None:
                records.append(record)
            else:
                self.corrupt += bool(line.strip())
        return Batch(records, restarted, more)


def _whole_lines(file: BinaryIO, max_bytes: int) -> bytes:
    """Whole lines from here on: `max_bytes` at most, but at least one line if there is a whole one."""
    data = b""
    while True:
        chunk = file.read(max_bytes)
        data += chunk
        end = data.rfind(b"\n") + 1
        if end or not chunk:
            return data[:end]
