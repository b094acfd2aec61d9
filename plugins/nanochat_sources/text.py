"""Documents from files, folders and patterns."""

from __future__ import annotations

import glob
import sys
from collections.abc import Iterator
from pathlib import Path

from nanochat_framework.contracts.source import Document, DocumentSource
from nanochat_framework.errors import UsageError
from nanochat_sources.config import TextConfig


class TextSource(DocumentSource):
    """One file is one document. A file named directly is a group of its own; in a folder, the top level makes groups."""

    def __init__(self, config: TextConfig) -> None:
        self.files = sorted({file: group for path in config.paths for file, group in _files(path)}.items())
        if not self.files:
            raise UsageError(f"no files in {', '.join(config.paths)}")
        self._warned: set[Path] = set()

    def documents(self) -> Iterator[Document]:
        """Files in the order of their paths; what cannot be read is named once on stderr and left out."""
        for file, group in self.files:
            try:
                yield Document(str(file), group, file.read_bytes())
            except OSError as error:
                if file not in self._warned:
                    self._warned.add(file)
                    print(f"warning: {file}: left out ({error.strerror})", file=sys.stderr)


def _files(path: str) -> Iterator[tuple[Path, str]]:
    given = Path(path)
    if given.is_file():
        yield given, str(given)
    elif given.is_dir():
        for file in given.rglob("*"):
            hidden = any(part.startswith(".") for part in file.relative_to(given).parts)
            if file.is_file() and not hidden:
                yield file, str(given / file.relative_to(given).parts[0])
    else:
        matches = glob.glob(path, recursive=True)
        if not matches:
            raise UsageError(f"{path}: no such file or folder, and no file matches it as a pattern")
        for match in matches:
            if Path(match).is_file():
                yield Path(match), str(Path(match).parent)
