"""The queue without a training: processes that wait for runs, which end in every way there is."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nanochat_framework.cli import main
from nanochat_framework.errors import UsageError
from nanochat_framework.runs.control import Request, send
from nanochat_framework.runs.controller import PendingRequest
from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.jsonlines import read
from nanochat_framework.runs.queue import checked, joining, present
from nanochat_framework.runs.removal import remove
from nanochat_framework.runs.status import StatusFile, listens, liveness, read_status
from nanochat_framework.runs.summary import summarize

LIMIT_S = 60.0
WAIT = """
import sys
from pathlib import Path
from nanochat_framework.errors import NanochatError
from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.queue import wait_for_turn
run, *before = [RunDirectory(Path(path)) for path in sys.argv[1:]]
try:
    wait_for_turn(run, before)
except NanochatError as error:
    sys.exit(error.exit_code)
assert "torch" not in sys.modules
"""
Wait = Callable[..., "subprocess.Popen[bytes]"]


def made(folder: Path, name: str, state: str | None = None, **facts: Any) -> RunDirectory:
    run = RunDirectory.create(
        folder, name, sources=[("a.toml", b"")], resolved={}, components_lock=[], overrides=[], argv=[]
    )
    if state is not None:
        StatusFile(run.status).update(state=state, **facts)
    return run


@pytest.fixture
def wait() -> Iterator[Wait]:
    """`wait(run, *before)` -> a process that waits for its turn."""
    started: list[subprocess.Popen[bytes]] = []

    def start(run: RunDirectory, *before: RunDirectory) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-c", WAIT, *(str(each.path) for each in (run, *before))])
        started.append(process)
        until(lambda: waits_for(run) is not None or process.poll() is not None)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def waits_for(run: RunDirectory) -> tuple[str, ...] | None:
    status = read_status(run.status)
    return tuple(status.waits_for) if status is not None and listens(status) and status.state == "queued" else None


@pytest.mark.parametrize("end", ["finished", "failed", "stopped", "released", "removed", "killed"])
def test_it_begins_however_the_run_before_it_ends(tmp_path: Path, wait: Wait, end: str) -> None:
    first, second = made(tmp_path, "first", "running"), made(tmp_path, "second")
    process = wait(second, first)
    assert waits_for(second) == ("first",)
    if end == "removed":
        shutil.rmtree(first.path)
    elif end == "killed":  # another process that is no more
        facts = json.loads(first.status.read_bytes())
        first.status.write_text(json.dumps({**facts, "pid": 2**22 + 1}))
        assert liveness(read_status(first.status)) == "lost"
    else:
        StatusFile(first.status).update(state=end)
    assert process.wait(LIMIT_S) == 0
    status = read_status(second.status)
    assert status is not None
    assert (status.state, status.waits_for, status.attempt) == ("starting", (), 0)


def test_a_paused_run_is_waited_for(tmp_path: Path, wait: Wait) -> None:
    first, second = made(tmp_path, "first", "paused"), made(tmp_path, "second")
    process = wait(second, first)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1.5)


def test_a_chain_of_three(tmp_path: Path, wait: Wait) -> None:
    first, second, third = made(tmp_path, "first", "running"), made(tmp_path, "second"), made(tmp_path, "third")
    two, three = wait(second, first), wait(third, second)
    assert waits_for(third) == ("first", "second"), "what the one before it waits for comes before it too"
    assert [run.name for run in present(tmp_path)] == ["first", "second", "third"]
    assert [summarize(run).waits_for for run in (first, second)] == [(), ("first",)]
    StatusFile(first.status).update(state="finished")
    assert two.wait(LIMIT_S) == 0
    assert three.poll() is None
    # the process that was to train it has ended, so it is lost, and the third goes on
    assert three.wait(LIMIT_S) == 0


def test_one_in_the_middle_that_is_killed_is_passed_over(tmp_path: Path, wait: Wait) -> None:
    first, second, third = made(tmp_path, "first", "running"), made(tmp_path, "second"), made(tmp_path, "third")
    two, three = wait(second, first), wait(third, first, second)
    two.send_signal(signal.SIGKILL)
    two.wait()
    until(lambda: waits_for(third) == ("first",))
    assert liveness(read_status(second.status)) == "lost"
    assert three.poll() is None
    StatusFile(first.status).update(state="finished")
    assert three.wait(LIMIT_S) == 0


def test_stop_takes_it_out_and_other_requests_are_refused(tmp_path: Path, wait: Wait) -> None:
    first, second = made(tmp_path, "first", "running"), made(tmp_path, "second")
    process = wait(second, first)
    refused = PendingRequest(second, Request("pause")).wait(LIMIT_S)
    assert (refused.verdict, refused.reason) == ("refused", "pause: second has not begun; it waits for first")
    send(second, Request("set", {"lr_scale": 0.5}, id="kept"))
    with pytest.raises(UsageError, match="second is queued; stop it first"):
        remove(second)
    assert PendingRequest(second, Request("stop")).wait(LIMIT_S).verdict == "done"
    assert process.wait(LIMIT_S) == 3
    assert liveness(read_status(second.status)) == "stopped"
    events = list(read(second.events))
    assert [event["kind"] for event in events] == ["acknowledged", "acknowledged", "stopped"]
    assert all(event.get("id") != "kept" for event in events), "a later start answers it"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_takes_it_out(tmp_path: Path, wait: Wait, number: signal.Signals) -> None:
    first, second = made(tmp_path, "first", "running"), made(tmp_path, "second")
    process = wait(second, first)
    process.send_signal(number)
    assert process.wait(LIMIT_S) == 3
    assert liveness(read_status(second.status)) == "stopped"
    assert number.name in next(event["reason"] for event in read(second.events))


def test_nobody_else_starts_it_meanwhile(tmp_path: Path, wait: Wait) -> None:
    first, second = made(tmp_path, "first", "running"), made(tmp_path, "second")
    process = wait(second, first)
    assert wait(second, first).wait(LIMIT_S) == 2, "another process holds it"
    shutil.rmtree(second.path)
    assert process.wait(LIMIT_S) == 1, "its folder is gone"


def test_what_cannot_be_waited_for(tmp_path: Path) -> None:
    prepared = made(tmp_path, "prepared", "queued", pid=None)
    facts = json.loads(prepared.status.read_bytes())
    prepared.status.write_text(json.dumps({**facts, "pid": None}))
    with pytest.raises(UsageError, match="--after prepared: it was prepared and not started"):
        checked([prepared])
    waiting = made(tmp_path, "waiting", "queued", waits_for=["me"])
    with pytest.raises(UsageError, match="--after waiting: it would wait for itself"):
        checked([waiting], "me")
    checked([waiting], "another")
    assert present(tmp_path) == [waiting], "nobody will start the prepared one"


def test_runs_of_other_machines_are_not_present(tmp_path: Path) -> None:
    run = made(tmp_path, "far", "running")
    facts = json.loads(run.status.read_bytes())
    run.status.write_text(json.dumps({**facts, "boot_id": "another", "host": "another"}))
    assert liveness(read_status(run.status)) == "running"
    assert present(tmp_path) == []


def test_joining_is_one_after_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nanochat_framework.runs.queue.LOCK_SECONDS", 0.2)
    with (
        joining(tmp_path / "runs"),
        pytest.raises(UsageError, match="is joining the queue"),
        joining(tmp_path / "runs"),
    ):
        pass
    with joining(tmp_path / "runs"):
        pass


def test_runs_that_are_resumed_queue_behind_one_another(tmp_path: Path) -> None:
    """Two processes at once: neither looks before the other is in the queue, so one of them waits for both."""
    made(tmp_path, "first", "running")
    runs = [made(tmp_path, name, "stopped", step=3, attempt=1) for name in ("second", "third")]
    command = [sys.executable, "-m", "nanochat_framework", "resume", "--runs-dir", str(tmp_path), "--queue"]
    processes = []
    try:
        with joining(tmp_path):
            processes = [subprocess.Popen([*command, run.name]) for run in runs]
            with pytest.raises(subprocess.TimeoutExpired):
                processes[0].wait(2)
            assert [waits_for(run) for run in runs] == [None, None], "somebody else is joining"
        until(lambda: None not in [waits_for(run) for run in runs])
        places = sorted((waits_for(run) or () for run in runs), key=len)
        assert places[0] == ("first",) and places[1] in [("first", "second"), ("first", "third")]
        assert [status.step for run in runs if (status := read_status(run.status))] == [3, 3]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_a_run_that_is_resumed_by_its_path_queues_in_its_own_folder(tmp_path: Path) -> None:
    made(tmp_path / "runs", "first", "running")
    run = made(tmp_path / "runs", "second", "stopped", step=3, attempt=1)
    command = [sys.executable, "-m", "nanochat_framework", "resume", "runs/second"]
    for options in (["--queue"], ["--after", "first"]):
        process = subprocess.Popen([*command, *options], cwd=tmp_path, env={**os.environ, "NANOCHAT_RUNS_DIR": "other"})
        try:
            until(lambda process=process: process.poll() is not None or waits_for(run) is not None)  # type: ignore[misc]
            assert waits_for(run) == ("first",)
        finally:
            process.terminate()
            process.wait()


def test_the_listing_says_place_and_predecessor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(tmp_path, "first", "running")
    made(tmp_path, "second", "queued", waits_for=["first"], total_steps=20)
    assert main(["runs", "--runs-dir", str(tmp_path), "ls"]) == 0
    assert "queued (1, after first)  0/20" in capsys.readouterr().out
    assert main(["runs", "--runs-dir", str(tmp_path), "ls", "--state", "queued", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["waits_for"] == ["first"]
    assert main(["runs", "--runs-dir", str(tmp_path), "rm", "second", "--yes"]) == 2
    assert os.path.isdir(tmp_path / "second")
