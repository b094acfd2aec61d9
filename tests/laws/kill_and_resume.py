"""Kills a training with SIGKILL again and again, resumes it, and compares it with one that was left alone.

    python -m tests.laws.kill_and_resume --kills 30 --checkpoint-kills 5

Kills at random instants fall anywhere from the start of the interpreter on; kills inside a checkpoint write wait until
the checkpoint's temporary folder appears. Afterwards the loss of every step (last attempt) and the final weights must
be those of the uninterrupted run, bit for bit, and every checkpoint that is there must be whole.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from nanochat_framework.runs.checkpoint_store import CheckpointStore
from nanochat_framework.runs.metrics import read_metrics

CONFIG = Path(__file__).parent / "fixtures" / "kill_and_resume.toml"
LIMIT_S = 1200.0
"""A training of 4000 steps takes two minutes on a quiet core, and several times that on a busy one."""


@dataclass(frozen=True)
class Outcome:
    """How often the run was killed where, and how often it started."""

    random_kills: int
    checkpoint_kills: int
    attempts: int


def command(runs_dir: Path, *, resume: bool, steps: int) -> list[str]:
    """The command line that starts or resumes the run `killed`."""
    nanochat = [sys.executable, "-m", "nanochat_framework"]
    if resume:
        return [*nanochat, "resume", "killed", "--runs-dir", str(runs_dir), "--quiet"]
    options = ["--runs-dir", str(runs_dir), "--quiet", "--set", f"train.steps={steps}"]
    return [*nanochat, "train", str(CONFIG), "--run", "killed", *options]


def uninterrupted(runs_dir: Path, *, steps: int) -> Path:
    """The same training, left alone; its run folder."""
    subprocess.run(command(runs_dir, resume=False, steps=steps), check=True, timeout=LIMIT_S)
    return runs_dir / "killed"


def interrupted(
    runs_dir: Path, *, steps: int, kills: int, checkpoint_kills: int, seed: int, window_s: float
) -> Outcome:
    """Start, kill, resume, kill, ... and at last let it finish. `window_s`: random kills fall within it."""
    generator = random.Random(seed)
    plan = ["random"] * kills + ["checkpoint"] * checkpoint_kills
    generator.shuffle(plan)
    run, done = runs_dir / "killed", {"random": 0, "checkpoint": 0}
    attempts = 0
    for kind in [*plan, "finish"]:
        attempts += 1
        resume = (run / "run.json").exists()
        process = subprocess.Popen(command(runs_dir, resume=resume, steps=steps), start_new_session=True)
        if kind == "random":
            time.sleep(generator.uniform(0.0, window_s))
        elif kind == "checkpoint":
            _wait_for_a_checkpoint_write(run / "checkpoints", process)
        if kind == "finish":
            if process.wait(timeout=LIMIT_S) != 0:
                raise AssertionError(f"the last resume failed with exit code {process.returncode}")
        elif process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            done[kind] += 1
    return Outcome(done["random"], done["checkpoint"], attempts)


def _wait_for_a_checkpoint_write(checkpoints: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if any(entry.name.startswith(".tmp-") and "step_" in entry.name for entry in os.scandir(checkpoints)):
                return
        except FileNotFoundError:
            time.sleep(0.01)


def compare(alone: Path, killed: Path) -> int:
    """Raises AssertionError on the first difference; returns the number of steps compared."""
    expected, actual = (
        {
            record["step"]: record["train/loss"]
            for record in read_metrics(run / "metrics.jsonl")
            if "train/loss" in record
        }
        for run in (alone, killed)
    )
    assert expected.keys() == actual.keys(), "the killed run has other steps"
    for step, loss in expected.items():
        assert actual[step] == loss, f"step {step}: {actual[step]!r} after kills, {loss!r} without"
    for name in ("model.safetensors", "optimizer_state.safetensors"):
        files = [(run / "checkpoints" / "final" / name).read_bytes() for run in (alone, killed)]
        assert files[0] == files[1], f"final {name} differs"
    store = CheckpointStore(killed / "checkpoints")
    folders = [entry for entry in store.root.iterdir() if entry.is_dir()]
    for folder in folders:
        assert not folder.name.startswith("."), f"{folder.name} was left behind"
        assert not store.verify(folder), f"{folder.name} is torn"
    return len(expected)


def main() -> int:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--checkpoint-kills", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4000, help="long enough that every kill finds it running")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--window", type=float, default=8.0, help="seconds within which random kills fall")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        alone = uninterrupted(Path(folder) / "alone", steps=arguments.steps)
        outcome = interrupted(
            Path(folder) / "killed",
            steps=arguments.steps,
            kills=arguments.kills,
            checkpoint_kills=arguments.checkpoint_kills,
            seed=arguments.seed,
            window_s=arguments.window,
        )
        steps = compare(alone, Path(folder) / "killed" / "killed")
    print(f"{steps} steps and the final weights are equal, bit for bit; {outcome}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
