"""One line for each metric of each step, for spreadsheets and for `cut`, `grep` and `sort`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from nanochat_framework.contracts.tracker import TrackedRun, Tracker
from nanochat_framework.errors import UsageError
from nanochat_framework.runs.atomic import write_atomic

from .config import WidgetConfig


class WidgetTracker(Tracker):
    """Appends `step TAB name TAB value`. It works in a thread of its own, one call at a time, and may be slow.

    `samples` and `event` may be overridden too; `nanochat_framework.contracts.tracker` has them.
    """

    def __init__(self, config: WidgetConfig) -> None:
        if Path(config.file).name != config.file:
            raise UsageError(f"file {config.file!r} must be a name, for it goes into the run's folder")
        self.config = config
        self._file: TextIO | None = None

    def open(self, run: TrackedRun, config: Mapping[str, Any]) -> None:
        """Begin, or go on: lines of steps that a resume takes anew did not happen, and are dropped."""
        path = run.folder / self.config.file
        kept = _lines_up_to(run.rewound_to, path) if path.exists() else ()
        write_atomic(path, "".join(kept).encode())
        self._file = path.open("a", encoding="utf-8")

    def metrics(self, step: int, record: Mapping[str, Any]) -> None:
        """Write the metrics of a record, whose names have a slash; `time`, `tokens` and the like have none."""
        assert self._file is not None, "open comes first"
        for name, value in record.items():
            if "/" in name and (not self.config.only or name in self.config.only):
                self._file.write(f"{step}\t{name}\t{value}\n")
        self._file.flush()

    def close(self) -> None:
        """Let go; may be called twice, and without `open`."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _lines_up_to(step: int, path: Path) -> Iterator[str]:
    """The whole lines of a file that are of a step or of one before it; a crash may leave half a line at the end."""
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        number = line.partition("\t")[0]
        if line.endswith("\n") and number.isdecimal() and int(number) <= step:
            yield line


def build(config: WidgetConfig) -> WidgetTracker:
    """Factory of acme/widget."""
    return WidgetTracker(config)
