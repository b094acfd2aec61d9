"""Kills a training and whoever steers it with SIGKILL again and again, and compares it with one that was left alone.

    python -m tests.laws.steered_and_killed --kills 20 --seeds 0 1 2

A controller that knows only the folder asks for everything at random times, and dies at random times too; torn lines are
thrown into control.jsonl. After each kill everything in the folder must be readable; at last the run must finish, and a
run that was never killed, whose settings change after the same steps, must have the same losses and weights bit for bit.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from nanochat_framework.runs.checkpoint_store import CheckpointStore
from nanochat_framework.runs.control import changes
from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.facts import facts
from nanochat_framework.runs.jsonlines import encode, read
from nanochat_framework.runs.metrics import read_metrics
from nanochat_framework.runs.status import liveness, read_status
from tests.laws.kill_and_resume import CONFIG, LIMIT_S

CONTROLLER = """
import random, sys, time
from pathlib import Path
from nanochat_framework.runs.control import Request, send
from nanochat_framework.runs.directory import RunDirectory

run, generator = RunDirectory(Path(sys.argv[1])), random.Random(int(sys.argv[2]))
while True:
    time.sleep(generator.uniform(0.0, 0.3))
    send(run, generator.choice([
        Request("set", {"lr_scale": generator.choice([0.25, 0.5, 1.0, 2.0])}),
        Request("set", {"checkpoint.every": generator.randint(3, 9), "eval.every": generator.randint(20, 200)}),
        Request("pause"), Request("unpause"), Request("unpause"), Request("checkpoint"), Request("eval"),
        Request("sample"), Request("pause", {"release": "no"}),
    ]))
"""


def nanochat(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "nanochat_framework", *map(str, arguments)]


def steered(runs: Path, *, steps: int, kills: int, seed: int, window_s: float) -> RunDirectory:
    """Train under a hand that shakes, killing both; returns the finished run."""
    generator = random.Random(seed)
    run = RunDirectory(runs / "steered")
    begin = nanochat("train", CONFIG, "--run", run.name, "--runs-dir", runs, "--quiet", "--set", f"train.steps={steps}")
    for _ in range(kills):
        there = run.run_json.exists()
        trainer = subprocess.Popen(nanochat("resume", run.path, "--quiet") if there else begin, start_new_session=True)
        deadline = time.monotonic() + LIMIT_S
        while not _lives(run, trainer.pid) and trainer.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        controller = subprocess.Popen(
            [sys.executable, "-c", CONTROLLER, str(run.path), str(generator.randrange(10**6))]
        )
        victims = [trainer, controller]
        generator.shuffle(victims)
        for victim in victims:
            time.sleep(generator.uniform(0.0, window_s))
            if generator.random() < 0.3:
                with run.control.open("ab") as file:
                    file.write(b'{"id": "torn", "command": "st')
            victim.send_signal(signal.SIGKILL)
            victim.wait()
        assert_readable(run)
    subprocess.run(nanochat("resume", run.path, "--quiet"), check=True, timeout=LIMIT_S)
    return run


def _lives(run: RunDirectory, pid: int) -> bool:
    status = read_status(run.status)
    return status is not None and status.pid == pid and liveness(status) in ("running", "finished")


def assert_readable(run: RunDirectory) -> None:
    """Whatever was killed when, everything says something and nothing is half."""
    status = read_status(run.status)
    assert status is not None
    assert liveness(status) in ("lost", "finished")
    found = facts(run)
    assert all(checkpoint["problem"] is None for checkpoint in found["checkpoints"])
    for file in (run.metrics, run.events):
        lines = read(file)
        for record in lines:
            assert "attempt" in record, file
        assert lines.corrupt == 0, file
    for record in read_metrics(run.metrics):
        assert isinstance(record["step"], int)


def left_alone(like: RunDirectory, runs: Path) -> RunDirectory:
    """A run of the same configuration that is not killed, with settings that change after the same steps."""

    def fill(folder: Path) -> None:
        (folder / "events.jsonl").write_bytes(b"".join(map(encode, sets)))

    sets = [
        {"kind": "set", "attempt": 0, "step": change.step, "settings": {change.key: change.value}}
        for change in changes(read(like.events))
    ]
    run = RunDirectory.create(
        runs,
        "alone",
        sources=[(str(CONFIG), CONFIG.read_bytes())],
        resolved=json.loads(like.config_resolved.read_bytes()),
        components_lock=json.loads(like.components_lock.read_bytes()),
        overrides=[],
        argv=[],
        fill=fill,
    )
    subprocess.run(nanochat("resume", run.path, "--quiet"), check=True, timeout=LIMIT_S)
    return run


def compare(steered_run: RunDirectory, alone: RunDirectory) -> int:
    """Raises AssertionError at the first difference; returns the number of steps compared."""
    actual, expected = _losses(steered_run), _losses(alone)
    assert actual.keys() == expected.keys(), "other steps"
    for step, loss in expected.items():
        assert actual[step] == loss, f"step {step}: {actual[step]} under a hand, {loss} alone"
    for name in ("model.safetensors", "optimizer_state.safetensors"):
        finals = [run.checkpoints / "final" / name for run in (steered_run, alone)]
        assert finals[0].read_bytes() == finals[1].read_bytes(), f"final {name} differs"
    store = CheckpointStore(steered_run.checkpoints)
    assert not [entry for entry in os.listdir(store.root) if entry.startswith(".")], "something was left behind"
    assert not [folder for _, folder in store.steps() if store.verify(folder)]
    return len(expected)


def _losses(run: RunDirectory) -> dict[int, tuple[Any, ...]]:
    keys = ("train/loss", "train/grad_norm", "train/learning_rate/muon", "tokens")
    records = read_metrics(run.metrics)
    return {record["step"]: tuple(record[key] for key in keys) for record in records if "train/loss" in record}


def main() -> int:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument(
        "--window", type=float, default=3.0, help="seconds after the first step within which kills fall"
    )
    arguments = parser.parse_args()
    for seed in arguments.seeds:
        with tempfile.TemporaryDirectory() as folder:
            run = steered(
                Path(folder), steps=arguments.steps, kills=arguments.kills, seed=seed, window_s=arguments.window
            )
            steps = compare(run, left_alone(run, Path(folder)))
            print(f"seed {seed}: {steps} steps are equal, bit for bit, after {len(list(read(run.control)))} requests")
    return 0


if __name__ == "__main__":
    sys.exit(main())
