"""`--nproc N`: several processes of one run on this machine, and one exit code for all of them.

Each process is an ordinary `nanochat resume RUN` whose environment says which one it is, as torchrun's would. Signals
are handed on, so that all of them finish the step and the run is checkpointed. If one dies the others cannot go on:
they are ended, and the run resumes from its newest checkpoint.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from nanochat_framework.errors import NanochatError, StoppedOnRequest

RENDEZVOUS = "NANOCHAT_RENDEZVOUS"
"""Variable with the file that the processes of one machine meet at; without it torchrun's variables are used."""
GRACE_SECONDS = 10.0
"""How long processes may take to end by themselves after another has failed."""
POLL_SECONDS = 0.05
_HANDED_ON = (signal.SIGINT, signal.SIGTERM)
_FINE = (None, 0, StoppedOnRequest.exit_code)
"""Exit codes (None: still running) of processes that nothing is wrong with."""


def run_processes(nproc: int, command: Sequence[str]) -> int:
    """Run `nanochat COMMAND` in `nproc` processes that train together; returns the exit code.

    The exit code is that of the first that failed, which has said why. Raises NanochatError if that one was killed.
    """
    with tempfile.TemporaryDirectory(prefix="nanochat-") as folder:
        processes = [_start(rank, nproc, command, Path(folder) / "rendezvous") for rank in range(nproc)]
        previous = {number: signal.signal(number, _hand_on(processes)) for number in _HANDED_ON}
        try:
            failed = _wait(processes)
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
            _end(processes)
    if failed is not None and (code := processes[failed].returncode) < 0:
        raise NanochatError(f"process {failed} of {nproc} was ended by {signal.Signals(-code).name}")
    return processes[failed or 0].returncode


def _start(rank: int, size: int, command: Sequence[str], rendezvous: Path) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(size),
        "LOCAL_WORLD_SIZE": str(size),
        RENDEZVOUS: str(rendezvous),
    }
    environment.setdefault("GLOO_SOCKET_IFNAME", "lo0" if sys.platform == "darwin" else "lo")
    return subprocess.Popen(
        [sys.executable, "-m", "nanochat_framework", *command],
        env=environment,
        start_new_session=True,  # a Ctrl-C reaches them through the handler here, once
    )


def _hand_on(processes: Sequence[subprocess.Popen[bytes]]) -> Callable[[int, FrameType | None], None]:
    def handle(number: int, frame: FrameType | None) -> None:
        for process in processes:
            if process.poll() is None:
                process.send_signal(number)

    return handle


def _wait(processes: Sequence[subprocess.Popen[bytes]]) -> int | None:
    """Until all have ended, or GRACE_SECONDS after one has failed; returns the first that failed."""
    failed: int | None = None
    deadline = 0.0
    while True:
        codes = [process.poll() for process in processes]
        bad = [rank for rank, code in enumerate(codes) if code not in _FINE]
        if bad and failed is None:
            failed = min(bad, key=lambda rank: (codes[rank] or 0) > 0)  # a killed one is why others fail
            deadline = time.monotonic() + GRACE_SECONDS
        if None not in codes or (failed is not None and time.monotonic() > deadline):
            return failed
        time.sleep(POLL_SECONDS)


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        if process.poll() is None:
            process.kill()  # it waits for a process that is gone; no signal that it handles would reach it
    for process in processes:
        process.wait()
