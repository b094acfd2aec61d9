"""A folder whose files appear together, and whose making goes on after it was killed at any point.

What is being made lies in `.prepare/` inside the folder: `request.json` says what was asked for, `journal.json` how far
each file is good, `publish.json` that all are whole and only renames are left. What lies there is worth something only
to the same request.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from nanochat_framework.data.token_store import WORK_FOLDER
from nanochat_framework.errors import UsageError
from nanochat_framework.runs.atomic import sync_file, sync_folder, write_atomic
from nanochat_framework.runs.lock import hold

_LOCK = "lock"
_REQUEST, _JOURNAL, _PUBLISH = "request.json", "journal.json", "publish.json"


class Workspace:
    """Work of one request in a folder. One process at a time holds it.

    `changes` says, for people, what is different from the request that was found unfinished, and was dropped for it.
    Raises UsageError if the folder cannot be written or another process is at work in it.
    """

    def __init__(self, folder: Path, request: Mapping[str, Any]) -> None:
        self.folder, self.work = folder, folder / WORK_FOLDER
        self._request = dict(request)
        self._stack = ExitStack()
        self.changes: list[str] = []
        self.resumed = False
        """Whether work of the same request was found."""

    def __enter__(self) -> Self:
        try:
            self.work.mkdir(parents=True, exist_ok=True)
            self._stack.enter_context(hold(self.work / _LOCK, doing="preparing data there"))
            found = self._read(_REQUEST)
            self.resumed = found == self._request
            if not self.resumed:
                self.changes = _differences(found, self._request) if found else []
                self._clear()
                self._write(_REQUEST, self._request)
        except OSError as error:
            self._stack.close()
            raise UsageError(f"{self.folder}: cannot write there ({error.strerror})") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _clear(self) -> None:
        for name in (_REQUEST, _PUBLISH, _JOURNAL):  # first what gives the rest its meaning
            (self.work / name).unlink(missing_ok=True)
        for path in self.work.iterdir():
            if not path.name.startswith(_LOCK):
                path.unlink()

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            content = json.loads((self.work / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return content if isinstance(content, dict) else None

    def _write(self, name: str, content: Mapping[str, Any]) -> None:
        write_atomic(self.work / name, (json.dumps(content, indent=1) + "\n").encode())

    def path(self, name: str) -> Path:
        """Where a file lies until it is published."""
        return self.work / name

    def write(self, name: str, text: str) -> None:
        """A small file, whole or not there. Raises OSError."""
        write_atomic(self.work / name, text.encode())

    def open(self, name: str, size: int) -> BinaryIO:
        """A file to go on writing after `size` bytes; what is behind them goes. Raises OSError."""
        file = (self.work / name).open("r+b" if size else "w+b")
        file.truncate(size)
        file.seek(size)
        return file

    def journal(self) -> dict[str, Any] | None:
        """How far the work is, None if nothing is done."""
        return self._read(_JOURNAL)

    def commit(self, files: Iterable[BinaryIO], journal: Mapping[str, Any]) -> None:
        """Make the files durable as they are now, then write the journal that counts on them. Raises OSError."""
        for file in files:
            file.flush()
            os.fsync(file.fileno())
        self._write(_JOURNAL, journal)

    def ready(self) -> dict[str, Any] | None:
        """What `publish` was once begun with, None if it was not."""
        return self._read(_PUBLISH)

    def publish(self, files: Mapping[str, str], *, last: str, content: Mapping[str, Any], stale: Iterable[str]) -> None:
        """Give work files their final names (`files`: final name -> name here), then write `last`; the work folder goes.

        Stale files, and what stood under the names, go first. Killed in between, `finish` goes on. Raises OSError.
        """
        for name in files.values():
            sync_file(self.work / name)
        self._write(
            _PUBLISH, {"files": dict(files), "last": last, "content": dict(content), "stale": sorted(set(stale))}
        )
        self.finish()

    def finish(self) -> None:
        """Do the rest of `publish`, however much of it is done. Raises OSError."""
        order = self._read(_PUBLISH)
        assert order is not None
        (self.folder / order["last"]).unlink(missing_ok=True)
        for name in order["stale"]:
            (self.folder / name).unlink(missing_ok=True)
        for final, name in order["files"].items():
            if (self.work / name).exists():
                os.replace(self.work / name, self.folder / final)
        sync_folder(self.folder)
        write_atomic(self.folder / order["last"], (json.dumps(order["content"], indent=1) + "\n").encode())
        shutil.rmtree(self.work)


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    return [f"{key.replace('_', ' ')} was {old.get(key)}, is {new.get(key)}" for key in keys]
