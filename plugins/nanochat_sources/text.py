"""Documents from files, folders and patterns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nanochat_framework.contracts.source import Document, DocumentSource
from nanochat_framework.data.file_text import FileText, Text
from nanochat_framework.errors import UsageError
from nanochat_sources.config import TextConfig
from nanochat_sources.files import LeftOut, find_files
from nanochat_sources.jsonl import JSONL_ENDINGS, jsonl_documents
from nanochat_sources.parquet import PARQUET_ENDINGS, parquet_documents, wanted_columns
from nanochat_sources.rows import Rows

LARGE_FILE_BYTES = 2**24
"""Files from this size on are not read into memory."""


class TextSource(DocumentSource):
    """One file is one document, but for `.jsonl`, `.jsonl.gz`, `.jsonl.zst` and `.parquet`, whose rows are."""

    def __init__(self, config: TextConfig) -> None:
        self._files = find_files(config.paths)
        self._left_out = LeftOut("file")
        self._rows, self._wanted = Rows(config), wanted_columns(config)
        self._needs_rows = config.field or config.score_field

    def documents(self) -> Iterator[Document]:
        """Files in the order of their paths; what cannot be read is left out, and told once. Raises UsageError."""
        for file, group in self._files:
            name = file.name.lower()
            if name.endswith(JSONL_ENDINGS):
                yield from jsonl_documents(file, self._rows)
            elif name.endswith(PARQUET_ENDINGS):
                yield from parquet_documents(file, self._rows, self._wanted)
            elif self._needs_rows:
                raise UsageError(f"{file}: plain text has no fields; a text or score field is for .jsonl and .parquet")
            else:
                yield from self._plain(file, group)
        self._left_out.tell()
        self._rows.done()

    def _plain(self, file: Path, group: str) -> Iterator[Document]:
        try:
            large = file.stat().st_size >= LARGE_FILE_BYTES
            data: Text = FileText(file) if large else file.read_bytes()
        except OSError as error:
            self._left_out.add(f"{file}: {error.strerror}")
        else:
            yield Document(str(file), group, data)
