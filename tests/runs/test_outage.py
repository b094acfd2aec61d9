"""Files of a run that cannot be written for a while: nothing is lost, and one line tells it."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nanochat_framework.runs import outage as module
from nanochat_framework.runs.atomic import system_reason
from nanochat_framework.runs.events import EventLog
from nanochat_framework.runs.jsonlines import read
from nanochat_framework.runs.outage import Outage, PatientWriter
from nanochat_framework.runs.status import StatusFile


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.0)


def writer_in(folder: Path, said: list[str]) -> PatientWriter:
    folder.mkdir(exist_ok=True)
    return PatientWriter(folder / "metrics.jsonl", Outage(folder, said.append))


def numbers(path: Path) -> list[int]:
    return [record["n"] for record in read(path)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=50)
@given(st.lists(st.booleans(), max_size=20))
def test_no_record_is_lost_and_none_is_there_twice(tmp_path_factory: pytest.TempPathFactory, works: list[bool]) -> None:
    """The folder goes and comes back, and a sync finds out each time."""
    folder = tmp_path_factory.mktemp("run") / "run"
    said: list[str] = []
    writer = writer_in(folder, said)
    away, there = folder.with_name("away"), True
    for number, wanted in enumerate(works):
        if wanted != there:
            os.rename(*((away, folder) if wanted else (folder, away)))
            there = wanted
            writer._close()  # as after an error of the mount
        writer.write({"n": number})
        if not there:
            with pytest.raises(OSError, match="No such file"):
                writer.sync()
        else:
            writer.sync()
            assert numbers(folder / "metrics.jsonl") == list(range(number + 1))
    if not there:
        os.rename(away, folder)
    writer.close()
    assert numbers(folder / "metrics.jsonl") == list(range(len(works)))
    outages = sum(before and not after for before, after in zip([True, *works], works, strict=False))
    assert sum("cannot be written" in line for line in said) == outages


def test_a_file_that_was_removed_is_made_again(tmp_path: Path) -> None:
    said: list[str] = []
    writer = writer_in(tmp_path, said)
    writer.write({"n": 1})
    (tmp_path / "metrics.jsonl").unlink()
    writer.sync()
    writer.write({"n": 2})
    assert numbers(tmp_path / "metrics.jsonl") == [2]
    assert said == []


def test_what_waits_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PENDING_LIMIT", 3)
    said: list[str] = []
    writer = writer_in(tmp_path / "run", said)
    os.rename(tmp_path / "run", tmp_path / "away")
    writer._close()
    for number in range(5):
        writer.write({"n": number})
    os.rename(tmp_path / "away", tmp_path / "run")
    writer.sync()
    assert numbers(tmp_path / "run" / "metrics.jsonl") == [2, 3, 4]
    assert said[1:] == [f"{tmp_path / 'run'}: can be written again; the oldest 2 lines of metrics.jsonl were given up"]


def test_one_line_for_all_files_of_a_run(tmp_path: Path) -> None:
    said: list[str] = []
    folder = tmp_path / "run"
    folder.mkdir()
    outage = Outage(folder, said.append)
    status, events = StatusFile(folder / "status.json", outage), EventLog(folder / "events.jsonl", 1, outage)
    status.update(state="running")
    os.rename(folder, tmp_path / "away")
    threads = [threading.Thread(target=status.update) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events._writer.close()
    events.write("alert", message="x")
    assert len(said) == 1
    assert "status.json: cannot be written: no such file or directory; training goes on" in said[0]
    os.rename(tmp_path / "away", folder)
    events.write("alert", message="y")
    assert len(said) == 1, "the status has not been written yet"
    status.update()
    assert said[1:] == [f"{folder}: can be written again"]
    assert [event["message"] for event in read(folder / "events.jsonl")] == ["x", "y"]


def test_the_reason_is_found_below_the_words_of_libraries() -> None:
    assert system_reason(OSError(errno.EROFS, "x")) == "read-only file system"
    assert (
        system_reason(RuntimeError("I/O error: No such file or directory (os error 2)")) == "no such file or directory"
    )
    assert system_reason(ValueError("weights do not fit")) is None
