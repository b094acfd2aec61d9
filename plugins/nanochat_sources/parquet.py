"""Documents from Parquet files, one group of rows in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nanochat_framework.contracts.source import Document, DocumentSource
from nanochat_framework.errors import UsageError
from nanochat_sources.config import ParquetConfig, RowsConfig
from nanochat_sources.files import find_files
from nanochat_sources.rows import Rows

PARQUET_ENDINGS = (".parquet",)
_BATCH_ROWS = 256


class ParquetSource(DocumentSource):
    """Every row of every file is one document."""

    def __init__(self, config: ParquetConfig) -> None:
        self._files = find_files(config.paths)
        self._rows, self._wanted = Rows(config), wanted_columns(config)

    def documents(self) -> Iterator[Document]:
        """Rows in the order of files and rows. Raises UsageError, with file and row, for a malformed one."""
        for file, _ in self._files:
            yield from parquet_documents(file, self._rows, self._wanted)
        self._rows.done()


def wanted_columns(config: RowsConfig) -> list[str]:
    """The columns that are read where a file has them; the others cost nothing."""
    text = [config.field] if config.field else ["text", "messages"]
    return [*text, *([config.score_field] if config.score_field else [])]


def parquet_documents(file: Path, rows: Rows, wanted: list[str]) -> Iterator[Document]:
    """The documents of one file, streamed. Raises UsageError."""
    arrow, parquet = pyarrow_for(file)
    number = 0
    try:
        with parquet.ParquetFile(file, memory_map=False) as table:
            names = table.schema_arrow.names
            columns = [name for name in wanted if name in names] or names[:8]
            for batch in table.iter_batches(batch_size=_BATCH_ROWS, columns=columns, use_threads=False):
                for row in batch.to_pylist():
                    number += 1
                    document = rows.document(row, f"{file}:{number}")
                    if document is not None:
                        yield document
    except (OSError, arrow.ArrowException) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"{file}: cannot be read as Parquet after row {number} ({reason})") from None


def pyarrow_for(file: Path) -> tuple[Any, Any]:
    """`pyarrow` and `pyarrow.parquet`. Raises UsageError, with the file that they are wanted for, where they are missing."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise UsageError(f"{file}: Parquet needs the extra `data`: pip install 'nanochat-framework[data]'") from None
    return pyarrow, parquet
