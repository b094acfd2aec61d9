"""Files by name, in folders, and by pattern."""

from __future__ import annotations

import glob
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from nanochat_framework.errors import UsageError


def find_files(paths: Iterable[str]) -> list[tuple[Path, str]]:
    """(file, group) in the order of their names; a file that is named twice, or through a link too, is there once.

    A file named directly is a group of its own. In a folder, which is searched deeply and without hidden files, the top
    level makes the groups; of a pattern, the folders do. Raises UsageError if a path leads to no file.
    """
    paths = tuple(paths)
    found: dict[Path, tuple[Path, str]] = {}
    for path in paths:
        for file, group in _files(path):
            found.setdefault(file.resolve(), (file, group))
    if not found:
        raise UsageError(f"no files in {', '.join(paths)}")
    return sorted(found.values())


def _files(path: str) -> Iterator[tuple[Path, str]]:
    if not path:
        raise UsageError("an empty path names no file or folder")
    given = Path(path)
    if given.is_file():
        yield given, str(given)
    elif given.is_dir():
        for file in given.rglob("*"):
            parts = file.relative_to(given).parts
            if not any(part.startswith(".") for part in parts) and file.is_file():
                yield file, str(given / parts[0])
    elif given.exists():
        raise UsageError(f"{path}: neither a file nor a folder")
    else:
        matches = [Path(match) for match in glob.glob(path, recursive=True)]
        if not matches:
            raise UsageError(f"{path}: no such file or folder, and no file matches it as a pattern")
        yield from ((match, str(match.parent)) for match in matches if match.is_file())


class LeftOut:
    """Counts what is left out of the first iteration and tells it in one line; later iterations find the same."""

    def __init__(self, what: str) -> None:
        self._what, self._count, self._first, self._told = what, 0, "", False

    def add(self, reason: str) -> None:
        """One more."""
        self._count += 1
        self._first = self._first or reason

    def tell(self) -> None:
        """Say it on stderr if there is something to say, once."""
        if self._count and not self._told:
            plural = "s" if self._count > 1 else ""
            print(f"warning: {self._count} {self._what}{plural} left out, the first is {self._first}", file=sys.stderr)
        self._told = True
