"""Runs that begin at a checkpoint of another, trainings in the background, and train.log."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from nanochat_framework.cli import main
from nanochat_framework.runs.checkpoint_store import CheckpointStore
from nanochat_framework.runs.control import Request, send
from nanochat_framework.runs.controller import PendingRequest
from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.jsonlines import read
from nanochat_framework.runs.metrics import read_metrics
from nanochat_framework.runs.status import StatusFile, liveness, read_status
from tests.conftest import tiny_dict

TIMED = ("time", "attempt", "train/tokens_per_second", "train/data_wait_seconds")
LIMIT_S = 120.0


def write_config(folder: Path, steps: int = 12) -> Path:
    path = folder / "tiny.toml"
    data = tiny_dict(eval={"every": 5, "batches": 1}, checkpoint={"every": 4, "keep_last": 9}, train__steps=steps)
    path.write_text(tomli_w.dumps(data))
    return path


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A finished run whose learning rate was halved after step 4."""
    folder = tmp_path_factory.mktemp("runs")
    config = write_config(folder)
    options = ["--runs-dir", str(folder), "--quiet"]
    assert main(["train", str(config), "--run", "parent", *options]) == 0
    run = RunDirectory(folder / "parent")
    send(run, Request("set", {"lr_scale": 0.5, "train.log_every": 2}))
    assert main(["resume", "parent", "--from", "step_00000004", *options]) == 0
    return run


def forked(parent: RunDirectory, runs: Path, *arguments: str, code: int = 0) -> RunDirectory:
    given = ["runs", "fork", str(parent.path), "--runs-dir", str(runs), "--run", "child", *arguments]
    assert main(given) == code
    return RunDirectory(runs / "child")


def records(run: RunDirectory, after: int = 0) -> list[dict[str, Any]]:
    found = [record for record in read_metrics(run.metrics) if record["step"] > after]
    return [
        {key: value for key, value in record.items() if key not in TIMED and not key.startswith("system/")}
        for record in found
    ]


def test_without_changes_it_goes_on_as_its_parent_did(parent: RunDirectory, tmp_path: Path) -> None:
    child = forked(parent, tmp_path, "--from", "step_00000008", "--quiet")
    assert records(child) == records(parent, after=8)
    finals = [run.checkpoints / "final" / "model.safetensors" for run in (parent, child)]
    assert finals[0].read_bytes() == finals[1].read_bytes()
    assert child.info()["parent"] == "parent/step_00000008"
    copies = [[copy.read_bytes() for copy in run.config_sources()] for run in (parent, child)]
    assert len(copies[0]) == 1 and copies[0] == copies[1]


def test_with_changes(parent: RunDirectory, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in parent.path.rglob("*") if path.is_file()}
    changes = ["--set", "train.log_every=1", "--set", "train.steps=14", "--set", "optimizer.0.lr=0.04"]
    child = forked(parent, tmp_path, "--from", "step_00000008", "--quiet", *changes)
    assert [record["step"] for record in records(child)] == list(range(9, 15)), "--set outweighs what was set"
    rates = [record["train/learning_rate/muon"] for record in records(child)]
    assert rates[0] == 0.02, "0.04, and lr_scale as it was set in the parent"
    assert child.info()["overrides"] == ["train.log_every=1", "train.steps=14", "optimizer.0.lr=0.04"]
    shutil.rmtree(child.path)
    assert {path: path.read_bytes() for path in parent.path.rglob("*") if path.is_file()} == before


def test_a_fork_waits_for_others(parent: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`child` is held by this test; `second` queues behind it, and trains when it has ended."""
    child = forked(parent, tmp_path, "--from", "8", "--prepare")
    assert child.info()["parent"] == "parent/step_00000008"
    capsys.readouterr()
    for option in (["--queue"], ["--after", "child"], ["--detach"]):
        forked(parent, tmp_path, "--run", "second", "--prepare", *option, code=2)
        refused = "error: --prepare starts nothing; `nanochat resume` has --detach, --after and --queue\n"
        assert capsys.readouterr().err == refused
    assert os.listdir(tmp_path) == ["child"]
    holder = StatusFile(child.status)
    holder.update(state="paused")
    forked(parent, tmp_path, "--from", "step_00000008", "--run", "second", "--queue", "--detach")
    second = RunDirectory(tmp_path / "second")
    status = read_status(second.status)
    assert status is not None and (status.state, status.waits_for) == ("queued", ("child",))
    assert (status.step, status.total_steps) == (8, 12)
    holder.update(state="finished")
    deadline = time.monotonic() + LIMIT_S
    while liveness(read_status(second.status)) != "finished":
        assert time.monotonic() < deadline, second.train_log.read_text()
        time.sleep(0.1)


def test_prepared_without_torch(parent: RunDirectory, tmp_path: Path) -> None:
    script = (
        "import sys; from nanochat_framework.cli import main\n"
        "code = main(sys.argv[1:]); sys.exit(code or 'torch' in sys.modules)"
    )
    command = ["runs", "fork", str(parent.path), "--runs-dir", str(tmp_path), "--run", "child", "--prepare"]
    done = subprocess.run(
        [sys.executable, "-c", script, *command, "--set", "train.steps=20"], capture_output=True, text=True, check=True
    )
    child = RunDirectory(tmp_path / "child")
    assert done.stdout.strip() == "child"
    status = read_status(child.status)
    assert status is not None and (liveness(status), status.step) == ("queued", 12)
    assert [name for _, name in CheckpointStore(child.checkpoints).steps()] == [child.checkpoints / "step_00000012"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--from", "step_00000099"], "no checkpoint 'step_00000099'; there are: step_00000004, "),
        (["--from", "../../other/checkpoints/final"], "no checkpoint '../../other/checkpoints/final'; there are: "),
        (["--from", ""], "no checkpoint ''; there are: "),
        (["--from", "step_00000008", "--set", "optimizer.0.momentm=1"], "did you mean 'momentum'"),
        (["--from", "step_00000008", "--set", "train.steps=8"], "train.steps: step_00000008 is at step 8 of 8"),
        (["--from", "step_00000008", "--set", "model.ffn.hidden_dim=64"], "the model has"),
        (["--prepare"], "train.steps"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(
    parent: RunDirectory, tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    forked(parent, tmp_path, *arguments, code=2)
    lines = capsys.readouterr().err.splitlines()
    assert message in lines[0]
    assert os.listdir(tmp_path) == []


def test_a_fork_is_checked_and_not_made(
    parent: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").mkdir()
    command = ["runs", "fork", str(parent.path), "--runs-dir", str(tmp_path), "--check", "--set", "train.steps=20"]
    assert main([*command, "--run", "child"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "parent": parent.name,
        "checkpoint": "step_00000012",
        "step": 12,
        "steps": 20,
    }
    for name, message in (("taken", "exists and is not a run"), ("a/b", "not a name for a run")):
        assert main([*command, "--run", name]) == 2
        assert message in capsys.readouterr().err
    forked(parent, tmp_path, "--run", "waiting", "--set", "train.steps=20", "--prepare")
    capsys.readouterr()
    for name, message in (("nope", "no run 'nope'"), ("waiting", "--after waiting: it was prepared and not started")):
        assert main([*command, "--after", name]) == 2
        assert message in capsys.readouterr().err
    shutil.rmtree(tmp_path / "waiting")
    assert main([*command, "--after", str(parent.path), "--queue"]) == 0
    assert main([*command, "--set", "train.steps=12"]) == 2
    assert "is at step 12 of 12" in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["taken"]


@pytest.mark.parametrize("how", [[], ["--nproc", "2"], ["--detach"]], ids=" ".join)
def test_a_prepared_run_that_is_refused_stays(
    parent: RunDirectory, tmp_path: Path, how: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """It was not made by the command that is refused; only a run that was is removed."""
    child = forked(parent, tmp_path, "--prepare", "--set", "train.steps=20", "--set", 'hardware.device="mps"')
    before = sorted(child.path.rglob("*"))
    assert main(["resume", str(child.path), "--quiet", *how]) == 2
    assert "has no mps" in capsys.readouterr().err or how == ["--nproc", "2"], "processes write to stderr themselves"
    assert set(before) <= set(child.path.rglob("*"))
    made = ["runs", "fork", str(parent.path), "--runs-dir", str(tmp_path), "--run", "made", "--quiet", *how]
    assert main([*made, "--set", "train.steps=20", "--set", 'hardware.device="mps"']) == 2
    assert os.listdir(tmp_path) == ["child"]


def test_train_log_has_what_was_said(parent: RunDirectory) -> None:
    lines = parent.train_log.read_text().splitlines()
    assert [line.split(":")[0] for line in lines if line.startswith("---")] == ["--- attempt 1", "--- attempt 2"]
    assert sum(line.startswith("finished: ") for line in lines) == 2
    assert any(line.startswith("step 12/12") for line in lines)
    assert any("67,968 parameters" in line or "parameters on cpu" in line for line in lines)


def test_train_log_has_the_error(tmp_path: Path) -> None:
    options = ["--set", "optimizer.1.lr=1e30", "--set", "train.max_skipped_steps=1", "--set", "schedule.warmup_steps=0"]
    command = ["train", str(write_config(tmp_path)), "--run", "bad", "--runs-dir", str(tmp_path), "--quiet"]
    assert main([*command, *options]) == 1
    assert "error: the loss or gradient was not finite" in (tmp_path / "bad" / "train.log").read_text()


def test_logs(parent: RunDirectory, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    lines = parent.train_log.read_text().splitlines()
    assert main(["runs", "logs", str(parent.path), "-n", "3"]) == 0
    assert capsys.readouterr().out.splitlines() == lines[-3:]
    assert main(["runs", "logs", str(parent.path), "-n", "9223372036854775808"]) == 0
    assert capsys.readouterr().out.splitlines() == lines, "all there are"
    assert main(["runs", "logs", str(parent.path), "--follow", "--lines", "1"]) == 0, "it has ended"
    captured = capsys.readouterr()
    assert captured.out.splitlines() == lines[-1:]
    assert captured.err.strip() == "parent: finished"
    assert main(["runs", "logs", str(parent.path), "--events", "-n", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "finished"
    shutil.copytree(parent.path, tmp_path / "old")
    (tmp_path / "old" / "train.log").unlink()
    assert main(["runs", "logs", str(tmp_path / "old")]) == 2


def test_a_training_in_the_background(tmp_path: Path) -> None:
    """It trains when the command returns, and goes on without it; `logs -f` follows it to its end."""
    nanochat = [sys.executable, "-m", "nanochat_framework"]
    config = write_config(tmp_path, steps=10**6)
    started = subprocess.run(
        [*nanochat, "train", str(config), "--run", "far", "--runs-dir", str(tmp_path), "--detach"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert started.stdout == "far\n"
    run = RunDirectory(tmp_path / "far")
    status = read_status(run.status)
    assert status is not None and liveness(status) == "running" and status.pid is not None
    assert os.getsid(status.pid) == status.pid, "a session of its own"
    follower = subprocess.Popen([*nanochat, "runs", "logs", str(run.path), "-f"], stdout=subprocess.PIPE, text=True)
    assert PendingRequest(run, Request("stop")).wait(LIMIT_S).verdict == "done"
    said, _ = follower.communicate(timeout=LIMIT_S)
    assert said.splitlines()[-1].startswith("stopped by stop of process")
    assert said.splitlines() == run.train_log.read_text().splitlines(), "each line once"
    assert [event["kind"] for event in read(run.events)][-1] == "stopped"


def test_what_cannot_begin_in_the_background_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path)
    text = config.read_text().replace('name = "synthetic"', 'name = "tokens"\npath = "none.bin"')
    config.write_text(text)
    assert main(["train", str(config), "--run", "far", "--runs-dir", str(tmp_path), "--detach"]) == 2
    assert "none.bin" in capsys.readouterr().err
    assert not (tmp_path / "far").exists()
