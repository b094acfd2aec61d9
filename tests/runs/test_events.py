from __future__ import annotations

import time
from pathlib import Path

import pytest

from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.events import EventLog, begin_attempt, next_attempt, rewinds
from nanochat_framework.runs.jsonlines import read
from nanochat_framework.runs.metrics import MetricsLog
from nanochat_framework.runs.status import StatusFile


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path)


def test_an_event_is_flat_and_has_time_attempt_and_kind(run: RunDirectory) -> None:
    before = time.time()
    EventLog(run.events, 3).write("skipped_step", step=7, loss=float("nan"))
    (event,) = read(run.events)
    assert before <= event.pop("time") <= time.time()
    assert event == {"attempt": 3, "kind": "skipped_step", "step": 7, "loss": "NaN"}


def test_an_unknown_kind_is_the_programmers_mistake(run: RunDirectory) -> None:
    with pytest.raises(AssertionError):
        EventLog(run.events, 1).write("begun")  # type: ignore[arg-type]


def test_attempts_are_counted_from_their_first_event(run: RunDirectory) -> None:
    assert next_attempt(run) == 1
    assert begin_attempt(run.events, 0).attempt == 1
    assert begin_attempt(run.events, 100).attempt == 2
    assert begin_attempt(run.events, 0).attempt == 3  # no checkpoint was whole: from scratch
    events = list(read(run.events))
    assert [event["kind"] for event in events] == ["started", "resumed", "resumed"]
    assert list(rewinds(events)) == [(1, 0), (2, 100), (3, 0)]


def test_an_attempt_whose_event_was_lost_is_still_counted(run: RunDirectory) -> None:
    begin_attempt(run.events, 0)
    MetricsLog(run.metrics, 4).write(step=1, tokens=8, values={})
    assert next_attempt(run) == 5
    StatusFile(run.status).update(state="running", attempt=6)
    assert next_attempt(run) == 7


def test_torn_lines_are_cut_off_when_an_attempt_begins(run: RunDirectory) -> None:
    begin_attempt(run.events, 0)
    MetricsLog(run.metrics, 1).write(step=1, tokens=8, values={"train/loss": 3.0})
    for path in (run.events, run.metrics, run.samples):
        with path.open("ab") as file:
            file.write(b'{"attempt":9,"kind":"resu')
    begin_attempt(run.events, 1)
    for path, records in ((run.events, 2), (run.metrics, 1), (run.samples, 0)):
        reader = read(path)
        assert len(list(reader)) == records
        assert (reader.corrupt, reader.torn_bytes) == (0, 0)


@pytest.mark.parametrize("odd", ["x", None, -1, 1.5, True])
def test_events_with_odd_numbers_open_no_attempt(run: RunDirectory, odd: object) -> None:
    log = EventLog(run.events, 1)
    log.attempt = odd  # type: ignore[assignment]
    log.write("resumed", rewound_to=3)
    log.attempt = 2
    log.write("resumed", rewound_to=odd)
    log.write("resumed", rewound_to=5)
    assert list(rewinds(read(run.events))) == [(2, 5)]
    assert next_attempt(run) == 3
