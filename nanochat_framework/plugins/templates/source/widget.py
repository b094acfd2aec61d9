"""One document for each paragraph: what stands between blank lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from nanochat_framework.contracts.source import Document, DocumentSource
from nanochat_framework.errors import UsageError

from .config import WidgetConfig

BETWEEN_PARAGRAPHS = re.compile(rb"\n[ \t\r]*\n\s*")


class WidgetSource(DocumentSource):
    """Yields the paragraphs of files in the order in which they are named, always the same."""

    def __init__(self, config: WidgetConfig) -> None:
        self.config = config

    def documents(self) -> Iterator[Document]:
        """All paragraphs, as bytes. Those of one file are one group, which is held out as a whole or not at all."""
        for path in self.config.paths:
            try:
                content = Path(path).read_bytes()
            except OSError as error:
                raise UsageError(f"{path}: {error.strerror}") from None
            for number, paragraph in enumerate(BETWEEN_PARAGRAPHS.split(content)):
                if len(paragraph) >= self.config.shortest:
                    yield Document(f"{path}:{number}", group=path, data=paragraph)


def build(config: WidgetConfig) -> WidgetSource:
    """Factory of acme/widget."""
    return WidgetSource(config)
