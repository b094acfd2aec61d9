"""The table: always what the run's records are by the attempt rule, whatever columns appear and whenever it was killed."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from nanochat_framework.contracts.tracker import TrackedRun
from nanochat_framework.runs.events import begin_attempt
from nanochat_framework.runs.metrics import MetricsLog, read_metrics
from nanochat_trackers.config import CsvConfig, TensorBoardConfig
from nanochat_trackers.csv_file import CsvTracker, build_csv

NAMES = ["train/loss", "eval/loss", 'odd,"name"', "train/grad_norm"]
VALUES = st.dictionaries(st.sampled_from(NAMES), st.floats(width=64), min_size=1)
ATTEMPTS = st.lists(st.tuples(st.lists(VALUES, max_size=6), st.booleans(), st.integers(0, 5)), min_size=1, max_size=4)


def attempt(folder: Path, rewound_to: int) -> tuple[MetricsLog, CsvTracker]:
    """A log and a table that listens to it."""
    number = begin_attempt(folder / "events.jsonl", rewound_to).attempt
    tracker = build_csv(CsvConfig())
    tracker.open(TrackedRun("id", "run", folder, number, rewound_to), {})
    log = MetricsLog(folder / "metrics.jsonl", number)
    log.listener = lambda record: tracker.metrics(record["step"], record)
    return log, tracker


def table(folder: Path) -> list[dict[str, Any]]:
    """Rows as numbers, without empty cells."""
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{key: float(value) for key, value in row.items() if value != ""} for row in rows]


def same(left: list[dict[str, Any]], right: list[dict[str, Any]]) -> bool:
    def bits(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{key: "nan" if math.isnan(value) else float(value) for key, value in row.items()} for row in rows]

    return bits(left) == bits(right)


@settings(max_examples=60)
@given(ATTEMPTS)
def test_the_table_is_the_records(attempts: list[tuple[list[dict[str, float]], bool, int]]) -> None:
    """Each attempt: records (two to a step), whether it ends in order, and how far the next one goes back."""
    with TemporaryDirectory() as name:
        folder, step = Path(name), 0
        for records, orderly, back in attempts:
            log, tracker = attempt(folder, step)
            for number, values in enumerate(records):
                log.write(step=step + 1 + number // 2, tokens=number, values=values)
                assert same(table(folder), read_metrics(folder / "metrics.jsonl")), "whole after every record"
            if orderly:
                tracker.close()
            step = max(0, step + (len(records) + 1) // 2 - back)


def test_a_table_begun_late_has_the_whole_history(tmp_path: Path) -> None:
    begin_attempt(tmp_path / "events.jsonl", 0)
    log = MetricsLog(tmp_path / "metrics.jsonl", 1)
    for step in range(1, 9):
        log.write(step=step, tokens=step * 64, values={"train/loss": 1 / step})
    _, tracker = attempt(tmp_path, 6)
    tracker.close()
    assert [row["step"] for row in table(tmp_path)] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    "name",
    ["run.json", "STATUS.JSON", "metrics.jsonl", "config.source.toml", "checkpoints", "checkpoints/a.csv", ".lock"],
)
def test_what_the_run_keeps_itself_is_refused(name: str) -> None:
    for build in (lambda: CsvConfig(file=name), lambda: TensorBoardConfig(folder=name)):
        with pytest.raises(ValidationError, match="is for what the run keeps itself; choose another name"):
            build()


def test_other_names_are_taken() -> None:
    names = ["table.csv", "../all.csv", "out/x.tsv"]
    assert [CsvConfig(file=name).file for name in names] == names
