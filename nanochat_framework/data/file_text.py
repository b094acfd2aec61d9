"""Text that stays in its file."""

from __future__ import annotations

from pathlib import Path

from nanochat_framework.errors import NanochatError


class FileText:
    """Bytes begin .. end of a file, read only where they are sliced, so that a file of any size costs no memory.

    A slice (without a step) is `bytes`; `part` is another FileText. Raises OSError where the file cannot be read, and
    NanochatError where it has become shorter meanwhile.
    """

    def __init__(self, path: Path, begin: int = 0, end: int | None = None) -> None:
        self.path = path
        self._begin = begin
        self._end = path.stat().st_size if end is None else end

    def __len__(self) -> int:
        return self._end - self._begin

    def __getitem__(self, where: slice) -> bytes:
        begin, end, _ = where.indices(len(self))
        with self.path.open("rb") as file:
            file.seek(self._begin + begin)
            data = file.read(max(0, end - begin))
        if len(data) < end - begin:
            raise NanochatError(f"{self.path}: became shorter while it was read; prepare again when it is at rest")
        return data

    def part(self, begin: int, end: int) -> FileText:
        """Bytes begin .. end of this text, still in the file."""
        return FileText(self.path, self._begin + begin, self._begin + end)


Text = bytes | FileText


def part_of(text: Text, begin: int, end: int) -> Text:
    """Bytes begin .. end of a text of either kind, without reading a file."""
    return text.part(begin, end) if isinstance(text, FileText) else text[begin:end]
