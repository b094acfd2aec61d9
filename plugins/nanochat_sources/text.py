"""Documents from files, folders and patterns."""

from __future__ import annotations

from collections.abc import Iterator

from nanochat_framework.contracts.source import Document, DocumentSource
from nanochat_framework.data.file_text import FileText, Text
from nanochat_sources.config import TextConfig
from nanochat_sources.files import LeftOut, find_files

LARGE_FILE_BYTES = 2**24
"""Files from this size on are not read into memory."""


class TextSource(DocumentSource):
    """One file is one document."""

    def __init__(self, config: TextConfig) -> None:
        self._files = find_files(config.paths)
        self._left_out = LeftOut("file")

    def documents(self) -> Iterator[Document]:
        """Files in the order of their paths; what cannot be read is left out, and told once."""
        for file, group in self._files:
            try:
                large = file.stat().st_size >= LARGE_FILE_BYTES
                data: Text = FileText(file) if large else file.read_bytes()
            except OSError as error:
                self._left_out.add(f"{file}: {error.strerror}")
                continue
            yield Document(str(file), group, data)
        self._left_out.tell()
