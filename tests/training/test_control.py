"""A real training steered by somebody who knows its folder and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from nanochat_framework.cli import main
from nanochat_framework.runs.checkpoint_manifest import recorded_step
from nanochat_framework.runs.checkpoint_store import CheckpointStore, step_name
from nanochat_framework.runs.control import Request, send
from nanochat_framework.runs.controller import Outcome, PendingRequest
from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.jsonlines import read
from nanochat_framework.runs.metrics import read_metrics
from nanochat_framework.runs.status import read_status
from tests.conftest import tiny_dict

LIMIT_S = 120.0
TIMED = ("time", "attempt", "train/tokens_per_second", "train/data_wait_seconds")


def config(folder: Path, **changes: Any) -> Path:
    path = folder / "tiny.toml"
    data = tiny_dict(
        eval={"every": 0, "batches": 1},
        checkpoint={"every": 20, "keep_last": 100},
        train__steps=10**6,
        data__seq_len=16,
    )
    data["model"].update(dim=32, n_layers=1)
    data.update(changes)
    path.write_text(tomli_w.dumps(data))
    return path


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.005)


def state(run: RunDirectory) -> str | None:
    status = read_status(run.status)
    return None if status is None else status.state


def step(run: RunDirectory) -> int:
    records = read_metrics(run.metrics) if run.metrics.exists() else []
    return int(records[-1]["step"]) if records else 0


def ask(run: RunDirectory, command: str, **arguments: Any) -> Outcome:
    return PendingRequest(run, Request(command, arguments)).wait(LIMIT_S)


def kinds(run: RunDirectory) -> list[str]:
    return [event["kind"] for event in read(run.events)]


def trained(arguments: list[str], run: RunDirectory, steer: Callable[[RunDirectory], None]) -> int:
    """Train in this process while a thread steers; the exit code. What the thread asserts is raised here."""
    failures: list[BaseException] = []

    def watch() -> None:
        try:
            until(lambda: state(run) == "running" and run.metrics.exists())
            steer(run)
        except BaseException as error:
            failures.append(error)
            send(run, Request("stop"))

    thread = threading.Thread(target=watch)
    thread.start()
    code = main([*arguments, "--runs-dir", str(run.path.parent), "--quiet"])
    thread.join(LIMIT_S)
    if failures:
        raise failures[0]
    return code


def stop(run: RunDirectory) -> None:
    assert ask(run, "stop").verdict == "done"


def records(run: RunDirectory) -> list[dict[str, Any]]:
    return [
        {k: v for k, v in record.items() if k not in TIMED and not k.startswith("system/")}
        for record in read_metrics(run.metrics)
    ]


def test_a_training_is_paused_changed_and_stopped(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "first")

    def steer(run: RunDirectory) -> None:
        assert ask(run, "pause").verdict == "done"
        assert state(run) == "paused"
        held, status = step(run), read_status(run.status)
        assert status is not None and status.step == held, "the status is of the step that it is paused after"
        scores = ask(run, "eval")
        assert scores.facts["scores"]["eval/loss"] > 0
        assert ask(run, "checkpoint").facts["checkpoint"] == f"step_{held:08d}"
        assert ask(run, "set", lr_scale=0.25, **{"train.log_every": 2}).facts["settings"]["lr_scale"] == 0.25
        assert ask(run, "set", **{"train.steps": 3}).verdict == "refused"
        assert ask(run, "sample").reason == "sample: the run has no [sample] prompts"
        assert ask(run, "pause").verdict == "done"
        time.sleep(0.3)
        assert step(run) == held, "it trained while it was paused"
        assert ask(run, "unpause").verdict == "done"
        assert ask(run, "unpause").reason == "unpause: the run is not paused"
        until(lambda: step(run) > held + 4)
        assert ask(run, "stop").verdict == "done"

    assert trained(["train", str(config(tmp_path)), "--run", "first"], run, steer) == 3
    assert state(run) == "stopped"
    status = read_status(run.status)
    newest = CheckpointStore(run.checkpoints).latest()
    assert status is not None and newest is not None
    assert newest.name == f"step_{status.step:08d}"
    changed = next(event["step"] for event in read(run.events) if event["kind"] == "set")
    for record in read_metrics(run.metrics):
        if "train/loss" in record:  # tiny's schedule is flat after two steps of warm-up
            scale = 0.25 if record["step"] > changed else 1.0
            assert record["train/learning_rate/muon"] == 0.02 * min(record["step"] / 2, 1.0) * scale
            assert record["step"] <= changed or record["step"] % 2 == 0
    assert os.path.exists(run.checkpoints / "best"), "the evaluation that was asked for is the best so far"


def test_an_evaluation_after_its_checkpoint_counts_for_it(tmp_path: Path) -> None:
    """A run that goes on from there knows how good it was: weights that are no better do not become the best."""
    run = RunDirectory(tmp_path / "first")
    told: dict[str, Any] = {}

    def steer(run: RunDirectory) -> None:
        assert ask(run, "pause").verdict == "done"
        told["name"] = ask(run, "checkpoint").facts["checkpoint"]
        told["loss"] = ask(run, "eval").facts["scores"]["eval/loss"]
        assert ask(run, "set", lr_scale=0.0).verdict == "done"
        assert ask(run, "stop").facts["checkpoint"] == told["name"]

    assert trained(["train", str(config(tmp_path)), "--run", "first"], run, steer) == 3
    best = run.checkpoints / "best"
    for folder in (best, run.checkpoints / told["name"]):
        evaluation = json.loads((folder / "meta.json").read_text())["callbacks"]["EvaluationCallback"]
        assert evaluation["best_loss"] == evaluation["latest"]["eval/loss"] == told["loss"]
    assert recorded_step(best) == step(run)

    def look_again(run: RunDirectory) -> None:
        until(lambda: f"step_{step(run):08d}" > told["name"])
        assert ask(run, "eval").facts["scores"]["eval/loss"] == told["loss"], "nothing was learned"
        stop(run)

    assert trained(["resume", "first"], run, look_again) == 3
    assert step_name(recorded_step(best) or 0) == told["name"]


def test_what_was_set_comes_again_at_its_step(tmp_path: Path) -> None:
    """Law 7 with a hand on the wheel: go on from a checkpoint before the change, and the same steps come again."""
    run = RunDirectory(tmp_path / "first")

    def steer(run: RunDirectory) -> None:
        until(lambda: step(run) > 45)
        assert ask(run, "set", lr_scale=0.1, **{"eval.every": 7, "checkpoint.every": 9}).verdict == "done"
        until(lambda: step(run) > 75)
        assert ask(run, "stop").verdict == "done"

    assert trained(["train", str(config(tmp_path)), "--run", "first"], run, steer) == 3
    changed = next(event["step"] for event in read(run.events) if event["kind"] == "set")
    ended = step(run)
    shutil.copytree(run.path, tmp_path / "again")
    again = RunDirectory(tmp_path / "again")

    def stop_beyond(run: RunDirectory) -> None:
        until(lambda: step(run) > ended)
        assert ask(run, "stop").verdict == "done"

    assert trained(["resume", "again", "--from", "step_00000020"], again, stop_beyond) == 3
    assert [record for record in records(again) if record["step"] <= ended] == records(run)
    names = {path.name for path in again.checkpoints.glob("step_*")}
    assert {f"step_{at:08d}" for at in range(changed + 1, ended) if at % 9 == 0} <= names
    assert kinds(again).count("set") == 1, "what is repeated is no new change"


def test_requests_to_a_run_that_does_not_train(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`set` waits for the next attempt, everything else is refused there or at once; too late is refused too."""
    run, file = RunDirectory(tmp_path / "first"), config(tmp_path)
    options = ["--runs-dir", str(tmp_path)]
    assert trained(["train", str(file), "--run", "first"], run, stop) == 3
    ended = step(run)
    assert main(["runs", "pause", "first", *options]) == 2
    assert "nanochat resume" in capsys.readouterr().err
    assert main(["runs", "set", "first", "lr_scale=0.5", *options]) == 0
    send(run, Request("stop", id="late"))

    def steer(run: RunDirectory) -> None:
        until(lambda: step(run) > ended)
        assert ask(run, "pause", release=True).facts["checkpoint"]

    assert trained(["resume", "first"], run, steer) == 3
    assert state(run) == "released"
    answers = {event["id"]: event for event in read(run.events) if event.get("answer") in ("refused", "done")}
    assert answers["late"]["reason"] == "stop: sent before attempt 2 began"
    assert [event["step"] for event in read(run.events) if event["kind"] == "set"] == [ended]
    assert read_metrics(run.metrics)[-1]["train/learning_rate/muon"] == 0.01
    assert main(["runs", "unpause", "first", *options]) == 2
    error = capsys.readouterr().err
    assert "released its device" in error and f"nanochat resume {run.path}" in error


def test_another_process_that_knows_only_the_folder(tmp_path: Path) -> None:
    """Two programs, the command line of each; and a signal ends a run that is paused."""
    command = [sys.executable, "-m", "nanochat_framework"]
    run = RunDirectory(tmp_path / "first")
    arguments = ["train", str(config(tmp_path)), "--run", "first", "--runs-dir", str(tmp_path)]
    trainer = subprocess.Popen([*command, *arguments], stderr=subprocess.PIPE, text=True)
    try:
        until(lambda: step(run) > 0)
        answer = subprocess.run(
            [*command, "runs", "pause", str(run.path), "--json", "--timeout", str(LIMIT_S)],
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(answer.stdout)["verdict"] == "done"
        assert state(run) == "paused"
        trainer.send_signal(signal.SIGTERM)
        _, narration = trainer.communicate(timeout=LIMIT_S)
    finally:
        trainer.kill()
    assert trainer.returncode == 3
    assert "Traceback" not in narration
    assert state(run) == "stopped"
    newest = CheckpointStore(run.checkpoints).latest()
    assert newest is not None and newest.name == f"step_{step(run):08d}"


def test_several_processes_do_the_same_after_the_same_step(tmp_path: Path) -> None:
    """Two processes: whatever is asked, neither waits for the other for ever, and the run resumes in one."""
    run = RunDirectory(tmp_path / "first")
    arguments = ["train", str(config(tmp_path)), "--run", "first", "--runs-dir", str(tmp_path), "--nproc", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    trainer = subprocess.Popen(
        [sys.executable, "-m", "nanochat_framework", *arguments, "--quiet"],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        until(lambda: step(run) > 0)
        assert ask(run, "pause").verdict == "done"
        assert ask(run, "eval").facts["scores"]["eval/loss"] > 0
        assert ask(run, "set", lr_scale=0.5).verdict == "done"
        changed = step(run)
        assert ask(run, "unpause").verdict == "done"
        until(lambda: step(run) > changed + 2)
        assert ask(run, "stop").verdict == "done"
        _, narration = trainer.communicate(timeout=LIMIT_S)
    finally:
        trainer.kill()
    assert (trainer.returncode, state(run)) == (3, "stopped"), narration
    assert read_metrics(run.metrics)[-1]["train/learning_rate/muon"] == 0.01
    ended = step(run)

    def stop_beyond(run: RunDirectory) -> None:
        until(lambda: step(run) > ended)
        assert ask(run, "stop").verdict == "done"

    assert trained(["resume", "first"], run, stop_beyond) == 3
    assert read_metrics(run.metrics)[-1]["train/learning_rate/muon"] == 0.01
