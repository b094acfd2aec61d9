"""A run's folder that goes away or cannot be written while it trains: what is kept, and how it ends."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import tomli_w

from nanochat_framework.runs.checkpoint_store import CheckpointStore, step_name
from nanochat_framework.runs.control import Request, send
from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.metrics import read_metrics
from nanochat_framework.runs.status import read_status
from tests.conftest import tiny_dict

LIMIT_S = 120.0


def until(condition: object) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


def started(folder: Path, *, steps: int, every: int, prefix: Sequence[str] = ()) -> subprocess.Popen[str]:
    data = tiny_dict(checkpoint={"every": every, "keep_last": 2}, train__steps=steps, model__dim=32, model__n_layers=1)
    (folder / "tiny.toml").write_text(tomli_w.dumps(data))
    script = (
        "import sys, time; from nanochat_framework.cli import main\n"
        "from nanochat_framework.training import run_callbacks\n"
        "run_callbacks.RETRY_SECONDS = 0.2\n"
        "from nanochat_framework.training.train_module import TrainModule\n"
        "step = TrainModule.step\n"
        "def slow(*arguments):\n    time.sleep(0.03)\n    return step(*arguments)\n"
        "TrainModule.step = slow\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    arguments = ["train", str(folder / "tiny.toml"), "--run", "run", "--runs-dir", str(folder / "runs"), "--quiet"]
    return subprocess.Popen([*prefix, sys.executable, "-c", script, *arguments], stderr=subprocess.PIPE, text=True)


def trains_until(process: subprocess.Popen[str], run: Path, step: int) -> None:
    def there() -> bool:
        assert process.poll() is None, process.communicate()
        status = read_status(run / "status.json")
        return status is not None and status.step >= step and status.latest_checkpoint is not None

    until(there)


def test_a_folder_that_goes_and_comes_back_has_lost_nothing(tmp_path: Path) -> None:
    process, run, away = started(tmp_path, steps=120, every=10), tmp_path / "runs" / "run", tmp_path / "away"
    trains_until(process, run, 15)
    os.rename(run, away)
    time.sleep(1.5)
    assert process.poll() is None
    assert not run.exists(), "what has gone is not made again"
    os.rename(away, run)
    _, narration = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, narration
    lines = narration.splitlines()
    assert sum("cannot be written" in line for line in lines) == 2, "one line for records, one for checkpoints"
    assert sum("can be written again" in line for line in lines) == 1
    assert [record["step"] for record in read_metrics(run / "metrics.jsonl")] == list(range(1, 121))
    final = CheckpointStore(run / "checkpoints").latest()
    assert final is not None and CheckpointStore.verify(final) == []
    status = read_status(run / "status.json")
    assert status is not None and status.state == "finished"


@pytest.mark.parametrize("how", ["gone", "read-only"])
def test_two_processes_wait_together(tmp_path: Path, how: str) -> None:
    """A request ends them: it is read after the outage, by process 0, and both do the same."""
    data = tiny_dict(checkpoint={"every": 10, "keep_last": 2}, train__steps=10**6, model__dim=32, model__n_layers=1)
    (tmp_path / "tiny.toml").write_text(tomli_w.dumps(data))
    run, away = RunDirectory(tmp_path / "runs" / "run"), tmp_path / "away"
    train = ["train", str(tmp_path / "tiny.toml"), "--run", "run", "--runs-dir", str(tmp_path / "runs"), "--quiet"]
    command = [sys.executable, "-m", "nanochat_framework", *train, "--nproc", "2"]
    process = subprocess.Popen(
        [*(as_anybody() if how == "read-only" else []), *command],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        trains_until(process, run.path, 15)
        for folder in (run.checkpoints, run.path):
            folder.chmod(0o555 if how == "read-only" else 0o755)
        if how == "gone":
            os.rename(run.path, away)
        time.sleep(2.0)
        assert process.poll() is None
        if how == "gone":
            assert not run.path.exists(), "what has gone is not made again"
            os.rename(away, run.path)
        for folder in (run.path, run.checkpoints):
            folder.chmod(0o755)
        send(run, Request("stop"))
        narration = process.communicate(timeout=LIMIT_S)[1]
    finally:
        process.terminate()  # nothing where it has ended
    assert process.returncode == 3, narration
    lines = narration.splitlines()
    assert 1 <= sum("cannot be written" in line for line in lines) <= 2, narration
    assert sum("can be written again" in line for line in lines) == 1, "one process speaks for both"
    steps = [record["step"] for record in read_metrics(run.metrics)]
    final = CheckpointStore(run.checkpoints).latest()
    assert steps == list(range(1, steps[-1] + 1)), "nothing is lost"
    assert final is not None and CheckpointStore.verify(final) == []
    assert final.name == step_name(steps[-1])


def test_a_folder_that_is_gone_at_the_end_is_one_clear_line(tmp_path: Path) -> None:
    process, run = started(tmp_path, steps=60, every=10), tmp_path / "runs" / "run"
    trains_until(process, run, 15)
    os.rename(run, tmp_path / "away")
    _, narration = process.communicate(timeout=LIMIT_S)
    errors = [line for line in narration.splitlines() if line.startswith("error")]
    assert process.returncode == 1, narration
    assert len(errors) == 1
    assert "step_00000060: cannot be written: no such file or directory" in errors[0]
    assert "Traceback" not in narration
    assert "Exception" not in narration


def as_anybody() -> list[str]:
    """What a command begins with so that permissions hold for it, also where tests run as root."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("root may write anywhere, and setpriv (util-linux) is not here to give that up")
    powers = "-dac_override,-dac_read_search"
    return ["setpriv", f"--bounding-set={powers}", f"--inh-caps={powers}"]


def test_a_folder_that_becomes_read_only(tmp_path: Path) -> None:
    process, run = started(tmp_path, steps=120, every=10, prefix=as_anybody()), tmp_path / "runs" / "run"
    trains_until(process, run, 15)
    for folder in (run / "checkpoints", run):
        folder.chmod(0o555)
    time.sleep(1.0)
    assert process.poll() is None
    for folder in (run / "checkpoints", run):
        folder.chmod(0o755)
    _, narration = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, narration
    assert "permission denied" in narration
