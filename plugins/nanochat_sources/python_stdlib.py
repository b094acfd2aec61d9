"""The running interpreter's own standard library: real text that is on every machine that can run this."""

from __future__ import annotations

import hashlib
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from nanochat_framework.contracts.source import Document, DocumentSource
from nanochat_framework.errors import UsageError
from nanochat_sources.config import PythonStdlibConfig

LEFT_OUT = frozenset({"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__", "lib-dynload"})
SHORTEST_DOCUMENT = 64
"""Bytes; shorter files are empty package markers."""


class PythonStdlibSource(DocumentSource):
    """Every `.py` file but tests; equal files once; the group is the top-level module or package."""

    def __init__(self, config: PythonStdlibConfig) -> None:
        self.root = Path(sysconfig.get_paths()["stdlib"])
        self.files = sorted(file for file in self.root.rglob("*.py") if not LEFT_OUT & set(self._parts(file)))
        if not self.files:
            raise UsageError(f"{self.root}: this Python has no standard library source")

    def _parts(self, file: Path) -> tuple[str, ...]:
        return file.relative_to(self.root).parts

    def documents(self) -> Iterator[Document]:
        """Files in the order of their paths."""
        seen: set[bytes] = set()
        for file in self.files:
            data = file.read_bytes()
            digest = hashlib.sha256(data).digest()
            if len(data) >= SHORTEST_DOCUMENT and digest not in seen:
                seen.add(digest)
                parts = self._parts(file)
                yield Document("/".join(parts), parts[0].removesuffix(".py"), data)
