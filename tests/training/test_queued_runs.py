"""Real trainings that wait for one another."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
import tomli_w

from nanochat_framework.cli import main
from nanochat_framework.config.load import load_config
from nanochat_framework.plugins import load_plugins
from nanochat_framework.runs.control import Request
from nanochat_framework.runs.controller import PendingRequest
from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.jsonlines import read
from nanochat_framework.runs.status import StatusFile, liveness, read_status
from nanochat_framework.training.new_run import new_run
from tests.conftest import tiny_dict

LIMIT_S = 180.0


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "tiny.toml"
    path.write_text(tomli_w.dumps(tiny_dict()))
    return str(path)


def state(run: RunDirectory) -> str:
    return liveness(read_status(run.status))


def until_state(run: RunDirectory, wanted: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while state(run) != wanted:
        assert time.monotonic() < deadline, (state(run), run.train_log.read_text())
        time.sleep(0.1)


def test_mistakes_are_one_line_and_leave_nothing(
    tmp_path: Path, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    given = ["train", config, "--runs-dir", str(runs), "--run", "b"]
    assert main([*given, "--after", "nonesuch"]) == 2
    assert main([*given, "--queue", "--resume", "x"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(";")[0] for line in lines if line.startswith("error")] == [
        f"error: no run 'nonesuch' in {runs}, and no run at all",
        "error: --queue: use it with `nanochat resume RUN --queue`",
    ]
    assert not runs.exists()


def test_with_nothing_before_it_a_queued_run_trains_at_once(tmp_path: Path, config: str) -> None:
    runs = tmp_path / "runs"
    assert main(["train", config, "--runs-dir", str(runs), "--run", "a", "--queue", "--quiet"]) == 0
    assert state(RunDirectory(runs / "a")) == "finished"
    assert main(["train", config, "--runs-dir", str(runs), "--run", "b", "--after", "a", "--quiet"]) == 0
    assert state(RunDirectory(runs / "b")) == "finished"


def test_what_keeps_it_from_beginning_is_in_its_status(tmp_path: Path, config: str) -> None:
    runs = tmp_path / "runs"
    loaded = load_config(config, registry=load_plugins().registry)
    run = new_run(loaded, loaded.config, runs, "a")
    run.config_resolved.write_text("{}")
    other = new_run(loaded, loaded.config, runs, "b")
    StatusFile(other.status).update(state="finished")
    assert main(["resume", "a", "--after", "b", "--runs-dir", str(runs)]) == 2
    status = read_status(run.status)
    assert status is not None and status.state == "failed"
    assert "the section [data] is missing" in str(status.error)


@pytest.mark.slow
def test_queued_detached_cancelled_resumed_and_trained(tmp_path: Path, config: str) -> None:
    """`a` is held by this test; b, c and d queue behind it; b is cancelled, c and d train one after the other."""
    runs = tmp_path / "runs"
    command = [sys.executable, "-m", "nanochat_framework", "train", config, "--runs-dir", str(runs)]
    subprocess.run([*command, "--run", "a", "--quiet"], check=True)
    holder = StatusFile(runs / "a" / "status.json")
    holder.update(state="paused")
    for name in "bcd":
        done = subprocess.run([*command, "--run", name, "--queue", "--detach"], check=True, stdout=subprocess.PIPE)
        assert done.stdout == f"{name}\n".encode()
    b, c, d = (RunDirectory(runs / name) for name in "bcd")
    statuses = [read_status(run.status) for run in (b, c, d)]
    assert [tuple(status.waits_for) for status in statuses if status] == [("a",), ("a", "b"), ("a", "b", "c")]
    assert PendingRequest(b, Request("stop")).wait(30).verdict == "done"
    holder.update(state="finished")
    for run in (c, d):
        until_state(run, "finished")
    ended, began = (
        next(e["time"] for e in read(run.events) if e["kind"] == kind)
        for run, kind in ((c, "finished"), (d, "started"))
    )
    assert ended < began
    assert state(b) == "stopped"
    assert main(["resume", str(b.path), "--after", "d", "--runs-dir", str(runs), "--quiet"]) == 0
    assert state(b) == "finished"
