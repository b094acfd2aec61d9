from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanochat_framework.runs.status import (
    HEARTBEAT_LIMIT_S,
    LIVE_STATES,
    STATES,
    Status,
    StatusFile,
    liveness,
    read_status,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "status.json"


def test_what_is_written_is_read(path: Path) -> None:
    file = StatusFile(path)
    file.update(state="running", attempt=2, step=10, total_steps=100, tokens=4096, latest_checkpoint="step_00000010")
    status = read_status(path)
    assert status == file.status
    assert status is not None
    assert (status.state, status.attempt, status.step, status.pid) == ("running", 2, 10, os.getpid())
    assert liveness(status) == "running"


def test_a_later_writer_keeps_what_it_does_not_change(path: Path) -> None:
    StatusFile(path).update(state="running", step=10, tokens=4096)
    StatusFile(path).update(state="failed", error="out of memory")
    status = read_status(path)
    assert status is not None
    assert (status.state, status.step, status.tokens, status.error) == ("failed", 10, 4096, "out of memory")


def test_a_mistyped_fact_or_state_is_the_programmers_mistake(path: Path) -> None:
    with pytest.raises(TypeError):
        StatusFile(path).update(stat="running")
    with pytest.raises(AssertionError):
        StatusFile(path).update(state="runing")


@pytest.mark.parametrize("state", sorted(LIVE_STATES))
def test_a_run_whose_process_was_killed_is_lost(path: Path, state: str) -> None:
    script = f"""
import os, signal
from pathlib import Path
from nanochat_framework.runs.status import StatusFile
StatusFile(Path({str(path)!r})).update(state={state!r})
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", script], check=False)
    status = read_status(path)
    assert status is not None
    assert status.state == state
    assert liveness(status) == "lost"


@pytest.mark.parametrize("state", sorted(set(STATES) - LIVE_STATES - {"queued"}))
def test_a_state_that_needs_no_process_is_never_lost(state: str) -> None:
    assert liveness(Status(state=state, pid=1 << 30, heartbeat=0.0)) == state  # type: ignore[arg-type]


def test_a_queued_run_waits_for_anybody_or_for_the_process_that_starts_it() -> None:
    assert liveness(Status(state="queued")) == "queued"
    assert liveness(Status(state="queued").here()) == "queued"
    assert liveness(Status(state="queued", pid=1 << 30, heartbeat=0.0)) == "lost"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="start times come from /proc")
def test_a_reused_pid_is_lost() -> None:
    status = Status(state="running").here()
    assert status.pid_start_time is not None
    assert liveness(replace(status, pid_start_time=status.pid_start_time - 1)) == "lost"


@pytest.mark.parametrize(
    "elsewhere",
    [{"host": "another", "boot_id": None}, {"boot_id": "another"}, {"pid_namespace": "pid:[1]"}, {"pid": None}],
)
def test_a_process_that_cannot_be_looked_at_lives_by_its_heartbeat(elsewhere: dict[str, object]) -> None:
    status = Status(state="running").here(heartbeat=1000.0, **elsewhere)
    assert liveness(status, now=1000.0 + HEARTBEAT_LIMIT_S) == "running"
    assert liveness(status, now=1001.0 + HEARTBEAT_LIMIT_S) == "lost"


def test_no_status_is_unknown(path: Path) -> None:
    assert read_status(path) is None
    assert liveness(None) == "unknown"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(STATES),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)
FACTS = st.dictionaries(st.sampled_from([*Status.__dataclass_fields__, "from_a_later_version"]), JSON)


@settings(deadline=None)
@given(FACTS)
def test_any_content_is_a_status_that_can_be_shown_or_none(
    tmp_path_factory: pytest.TempPathFactory, facts: object
) -> None:
    path = tmp_path_factory.getbasetemp() / "any-status.json"
    path.write_text(json.dumps(facts))
    status = read_status(path)
    assert liveness(status) in {*STATES, "lost", "unknown"}
    assert StatusFile(path).status == (status or Status())


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b"null", b'{"state": "dancing"}', b"[" * 10**5])
def test_an_unreadable_status_is_none(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert read_status(path) is None


def test_facts_of_a_later_version_are_passed_over(path: Path) -> None:
    path.write_text('{"state": "finished", "step": 5, "colour": "blue"}')
    assert read_status(path) == Status(state="finished", step=5)


def test_a_full_disk_does_not_end_a_training(path: Path) -> None:
    script = f"""
import resource
from pathlib import Path
from nanochat_framework.runs.status import StatusFile
file = StatusFile(Path({str(path)!r}))
file.update(state="running", step=1)
resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
file.update(step=2)
"""
    subprocess.run([sys.executable, "-c", script], check=True)
    status = read_status(path)
    assert status is not None
    assert status.step == 1
    assert os.listdir(path.parent) == ["status.json"]


def test_the_heart_beats_while_nothing_else_is_said(tmp_path: Path) -> None:
    file = StatusFile(tmp_path / "status.json")
    file.update(state="running", step=3)
    first = file.status.heartbeat
    file.start_heart(0.01)
    deadline = time.monotonic() + 30
    while (now := read_status(file.path)) is None or now.heartbeat == first:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    file.stop_heart()
    file.stop_heart()
    assert (now.state, now.step) == ("running", 3)
    still = read_status(file.path)
    time.sleep(0.05)
    assert read_status(file.path) == still


def test_metrics_read_back_and_others_are_passed_over(tmp_path: Path) -> None:
    file = StatusFile(tmp_path / "status.json")
    file.update(state="running", metrics={"train/loss": float("inf"), "eval/loss": 2.5})
    status = read_status(file.path)
    assert status is not None and status.metrics == {"train/loss": float("inf"), "eval/loss": 2.5}
    text = file.path.read_text().replace("2.5", "true").replace('"Infinity"', '"much"')
    file.path.write_text(text)
    status = read_status(file.path)
    assert status is not None and status.metrics == {}
