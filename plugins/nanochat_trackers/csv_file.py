"""One wide table: a row a step, a column a metric, whole at any time.

Columns that appear later (held-out scores do) cost one rewrite of the file, under a temporary name; all else is appended.
Records of one step share a row: the last row of the file is written again in place. What a resume rewound is gone,
because opening writes the table anew from the run's records, by the attempt rule.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from nanochat_framework.contracts.tracker import TrackedRun, Tracker
from nanochat_framework.runs.atomic import write_atomic
from nanochat_framework.runs.metrics import KEYS, read_metrics
from nanochat_trackers.config import CsvConfig

FIRST_COLUMNS = ("step", *(key for key in KEYS if key != "step"))


class CsvTracker(Tracker):
    """Keeps the header and the last row; the rest is in the file."""

    def __init__(self, config: CsvConfig) -> None:
        self.config = config
        self._path = Path()
        self._columns: list[str] = []
        self._row: dict[str, Any] = {}
        self._row_start = 0
        self._file: BinaryIO | None = None

    def open(self, run: TrackedRun, config: Mapping[str, Any]) -> None:
        """Write what happened so far."""
        self._path = run.folder / self.config.file
        self._path.parent.mkdir(parents=True, exist_ok=True)
        records = [record for record in read_metrics(run.folder / "metrics.jsonl") if record["step"] <= run.rewound_to]
        self._columns = list(dict.fromkeys((*FIRST_COLUMNS, *(key for record in records for key in record))))
        self._write_all(records)

    def metrics(self, step: int, record: Mapping[str, Any]) -> None:
        """Add a row, or go on with the last one."""
        assert self._file is not None
        if self._row.get("step") == step:
            self._file.truncate(self._row_start)
            self._row.update(record)
        else:
            self._row = dict(record)
        new = [key for key in record if key not in self._columns]
        if new:
            self._file.flush()
            before = self._read()
            self._columns += new
            self._write_all([*before, self._row])
            return
        self._append(self._row)
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _read(self) -> list[dict[str, str]]:
        with self._path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def _write_all(self, rows: list[Any]) -> None:
        """Replace the file; the last row stays open."""
        self.close()
        lines = [_line(self._columns), *(self._line(row) for row in rows[:-1])]
        write_atomic(self._path, b"".join(lines))
        self._file = self._path.open("r+b")
        self._row = dict(rows[-1]) if rows else {}
        self._row_start = self._file.seek(0, io.SEEK_END)
        if rows:
            self._append(rows[-1])
            self._file.flush()

    def _append(self, row: Mapping[str, Any]) -> None:
        assert self._file is not None
        self._row_start = self._file.seek(0, io.SEEK_END)
        self._file.write(self._line(row))

    def _line(self, row: Mapping[str, Any]) -> bytes:
        return _line([row.get(column, "") for column in self._columns])


def _line(cells: list[Any]) -> bytes:
    """A line of CSV (RFC 4180); floats read back to the same bits."""
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue().encode()


def build_csv(config: CsvConfig) -> CsvTracker:
    """A table of the run's metrics."""
    return CsvTracker(config)
