"""A run's folder that cannot be written for a while: a training goes on, and writes what it had to say when it can.

docs/decisions/0046 says what is kept, for how long, and when a training gives up.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nanochat_framework.runs.atomic import DiskFull, system_reason
from nanochat_framework.runs.jsonlines import JsonLinesWriter

RETRY_SECONDS = 1.0
"""Between two tries to write a file that could not be written."""
PENDING_LIMIT = 100_000
"""Lines of a file that wait at most; the oldest are given up."""


class Outage:
    """Tells once that files of a run cannot be written, and once that they can again. Any thread may report."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self.folder, self._say = folder, say
        self._broken: set[str] = set()
        self._lost: dict[str, int] = {}
        self._lock = threading.Lock()

    def failed(self, path: Path, error: BaseException) -> None:
        """A file could not be written."""
        with self._lock:
            first = not self._broken
            self._broken.add(path.name)
        if first:
            reason = system_reason(error) or str(error)
            self._say(
                f"warning: {path}: cannot be written: {reason}; training goes on, and what there is to say is kept"
            )

    def lost(self, path: Path) -> None:
        """A line of a file was given up."""
        with self._lock:
            self._lost[path.name] = self._lost.get(path.name, 0) + 1

    def works(self, path: Path) -> None:
        """A file was written."""
        if path.name not in self._broken:
            return
        with self._lock:
            self._broken.discard(path.name)
            if self._broken:
                return
            lost, self._lost = self._lost, {}
        given_up = "".join(f"; the oldest {count:,} lines of {name} were given up" for name, count in lost.items())
        self._say(f"{self.folder}: can be written again{given_up}")


class PatientWriter:
    """Appends records like a `JsonLinesWriter`; while the file cannot be written they wait, in order."""

    def __init__(self, path: Path, outage: Outage, *, sync: bool = False) -> None:
        """Raises DiskFull or OSError if the file cannot be opened now."""
        self.path, self._outage, self._sync_each = path, outage, sync
        self._writer: JsonLinesWriter | None = JsonLinesWriter(path, sync=sync)
        self._pending: deque[Mapping[str, Any]] = deque(maxlen=PENDING_LIMIT)
        self._retry_at = 0.0
        self._lock = threading.Lock()

    def write(self, record: Mapping[str, Any]) -> None:
        """Append a record, now or when it is possible; it must not be changed afterwards."""
        with self._lock:
            if len(self._pending) == self._pending.maxlen:
                self._outage.lost(self.path)
            self._pending.append(record)
            if time.monotonic() < self._retry_at:
                return
            with contextlib.suppress(OSError, DiskFull):
                self._flush()

    def sync(self) -> None:
        """Make all records so far durable. Raises DiskFull or OSError if that cannot be done now."""
        with self._lock:
            if self._writer is not None and os.fstat(self._writer.descriptor).st_nlink == 0:
                self._close()  # the file was removed: what is written to it is lost
            self._flush()
            if self._writer is not None:
                self._writer.sync()

    def close(self) -> None:
        """Write what waits, if that can be done now, and close the file; may be called twice."""
        with self._lock:
            if self._pending:
                with contextlib.suppress(OSError, DiskFull):
                    self._flush()
            self._close()

    def _flush(self) -> None:
        try:
            if self._writer is None:
                self._writer = JsonLinesWriter(self.path, sync=self._sync_each)
            while self._pending:
                self._writer.write(self._pending[0])
                self._pending.popleft()
        except (OSError, DiskFull) as error:
            self._close()  # a mount that comes back has other files under these names
            self._retry_at = time.monotonic() + RETRY_SECONDS
            self._outage.failed(self.path, error)
            raise
        self._retry_at = 0.0
        self._outage.works(self.path)

    def _close(self) -> None:
        if self._writer is not None:
            with contextlib.suppress(OSError):
                self._writer.close()
            self._writer = None
