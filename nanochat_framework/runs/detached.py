"""Trainings that outlive whoever started them: in a session of their own, their output in train.log, with no pipe."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence

from nanochat_framework.errors import NanochatError, UsageError
from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.status import StatusFile, read_status

BEGIN_SECONDS = 120.0
"""How long to wait for the first step to begin: data are opened, the model is built."""
POLL_SECONDS = 0.05


def start_detached(run: RunDirectory, options: Sequence[str] = ()) -> int:
    """Start `nanochat resume RUN OPTIONS` and wait until it trains or waits in the queue, BEGIN_SECONDS at most; returns its pid.

    Raises UsageError or NanochatError with what the training said if it could not begin.
    """
    if "WORLD_SIZE" in os.environ:
        raise UsageError("--detach starts the training itself; under torchrun leave it out")
    before = read_status(run.status)
    if before is None or before.attempt == 0:
        StatusFile(run.status).update(state="queued", waits_for=())
    with run.train_log.open("ab") as log:
        place = log.tell()
        process = subprocess.Popen(
            [sys.executable, "-m", "nanochat_framework", "resume", str(run.path.resolve()), *options],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    deadline = time.monotonic() + BEGIN_SECONDS
    attempts = 0 if before is None else before.attempt
    while time.monotonic() < deadline and not (_waits(run, process.pid) or _trains(run, attempts)):
        code = process.poll()
        if code is not None:
            if code == 0:
                break
            raise _failed(run, code, place)
        time.sleep(POLL_SECONDS)
    return process.pid


def _trains(run: RunDirectory, attempts_before: int) -> bool:
    status = read_status(run.status)
    return status is not None and status.attempt > attempts_before and status.state != "starting"


def _waits(run: RunDirectory, pid: int) -> bool:
    status = read_status(run.status)
    return status is not None and status.state == "queued" and status.pid == pid and bool(status.waits_for)


def _failed(run: RunDirectory, code: int, place: int) -> NanochatError:
    """The error for a training that ended at once, in its own words."""
    with run.train_log.open("rb") as log:
        log.seek(place)
        lines = log.read().decode("utf-8", "replace").splitlines()
    said = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")] or lines[-1:]
    kind = UsageError if code == UsageError.exit_code else NanochatError
    return kind(said[-1] if said else f"{run.path}: it ended with code {code}")
