"""Real trainings for the sessions, and what their folders say."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.jsonlines import read
from nanochat_framework.runs.status import LIVE_STATES, Status, liveness, read_status
from tests.tui.sessions.terminal import LOOK_SECONDS, PATIENCE_SECONDS

SMALL = """\
[model]
name = "decoder"
dim = 64
n_layers = 2
vocab_size = 256
max_seq_len = 64
attention = { name = "gqa", n_heads = 4, n_kv_heads = 2, head_dim = 16 }
ffn = { name = "swiglu", hidden_dim = 128 }
norm = { name = "rms" }
residual = { name = "add" }

[[optimizer]]
match = "*"
name = "adamw"
lr = 0.001

[schedule]
name = "constant"

[data]
source = { name = "synthetic" }
seq_len = 32

[train]
steps = 1_000_000
batch_size = 4
log_every = 1

[eval]
every = 1000
batches = 2

[hardware]
device = "cpu"
threads = 1
"""
"""A training that goes on until it is stopped."""


def nanochat(folder: Path, *arguments: str) -> str:
    """What a command prints."""
    command = [sys.executable, "-m", "nanochat_framework", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def status(run: RunDirectory) -> Status:
    """What the run says of itself."""
    found = read_status(run.status)
    assert found is not None
    return found


def wait_for(what: Callable[[], object], said: str) -> None:
    """Until something is so."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not what():
        if time.monotonic() > deadline:
            pytest.fail(f"after {PATIENCE_SECONDS:g} s not yet: {said}")
        time.sleep(LOOK_SECONDS)


def wait_for_step(run: RunDirectory, step: int) -> None:
    """Until a run has taken a step."""
    wait_for(lambda: run.status.exists() and status(run).step >= step, f"step {step} of {run.name}")


def answers(run: RunDirectory) -> list[tuple[str, str]]:
    """(command, answer) of every request that the training has finished with."""
    acknowledged = [event for event in read(run.events) if event.get("kind") == "acknowledged"]
    return [(event["command"], event["answer"]) for event in acknowledged if event["answer"] != "accepted"]


@contextmanager
def nothing_left(runs_dir: Path) -> Iterator[None]:
    """Ends what still trains under a folder, so that a failed test leaves no process behind."""
    try:
        yield
    finally:
        for folder in runs_dir.glob("*"):
            found = read_status(RunDirectory(folder).status)
            if found is not None and found.pid and liveness(found) in (*LIVE_STATES, "queued"):
                os.kill(found.pid, signal.SIGKILL)
