"""Documents from JSON lines: one object a line; plain, gzip or zstandard by the end of the file's name."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from nanochat_framework.contracts.source import Document, DocumentSource
from nanochat_framework.errors import UsageError
from nanochat_sources.config import JsonlConfig
from nanochat_sources.files import find_files
from nanochat_sources.rows import Rows

JSONL_ENDINGS = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".ndjson")


class JsonlSource(DocumentSource):
    """Every line of every file is one document; empty lines are none."""

    def __init__(self, config: JsonlConfig) -> None:
        self._files = find_files(config.paths)
        self._rows = Rows(config)

    def documents(self) -> Iterator[Document]:
        """Lines in the order of files and lines. Raises UsageError, with file and line, for a malformed one."""
        for file, _ in self._files:
            yield from jsonl_documents(file, self._rows)
        self._rows.done()


def jsonl_documents(file: Path, rows: Rows) -> Iterator[Document]:
    """The documents of one file, streamed. Raises UsageError."""
    number = 0
    try:
        with _open(file) as lines:
            for number, line in enumerate(lines, start=1):
                place = f"{file}:{number}"
                stripped = line.strip()
                if not stripped:
                    continue
                try:
                    row: Any = json.loads(stripped)
                except (ValueError, RecursionError) as error:
                    rows.refuse(place, f"not a JSON object ({_reason(error)})")
                    continue
                document = rows.document(row, place)
                if document is not None:
                    yield document
    except OSError as error:  # gzip's own, too
        raise UsageError(f"{file}: cannot be read after line {number} ({error.strerror or error})") from None
    except (EOFError, zlib.error) as error:
        raise UsageError(f"{file}: is cut off or damaged after line {number} ({error})") from None


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg.lower()} at character {error.pos + 1}"
    return "not UTF-8" if isinstance(error, UnicodeDecodeError) else "nested too deeply"


def _open(file: Path) -> BinaryIO:
    if file.name.endswith(".gz"):
        return io.BufferedReader(gzip.open(file, "rb"))
    if not file.name.endswith(".zst"):
        return file.open("rb")
    try:
        import zstandard
    except ImportError:
        raise UsageError(
            f"{file}: reading zstandard needs the extra `data`: pip install 'nanochat-framework[data]'"
        ) from None
    return io.BufferedReader(_Zstandard(file, zstandard))


class _Zstandard(io.RawIOBase):
    """A zstandard file of any number of frames, decompressed as it is read. Raises OSError for a damaged one."""

    def __init__(self, file: Path, library: Any) -> None:
        self._chunks = _decompressed(file, library)
        self._left = memoryview(b"")

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer with the next bytes; returns how many, 0 at the end."""
        while not self._left:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._left = memoryview(chunk)
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count


def _decompressed(file: Path, library: Any) -> Iterator[bytes]:
    frame, inside = library.ZstdDecompressor().decompressobj(), False
    try:
        with file.open("rb") as source:
            while data := source.read(2**17):
                while data:
                    inside = True
                    yield frame.decompress(data)
                    data = frame.unused_data
                    if frame.eof:
                        frame, inside = library.ZstdDecompressor().decompressobj(), False
    except library.ZstdError as error:
        raise OSError(None, str(error)) from None
    if inside:
        raise EOFError("the last frame has no end")
