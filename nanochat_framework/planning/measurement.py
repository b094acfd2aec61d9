"""Measured speed and memory of a configuration on this machine, by a few real steps in a child process."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass

from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.errors import NanochatError

SECONDS = 5.0
"""How long to train for, if nothing else is said."""


@dataclass(frozen=True)
class Measurement:
    """What a few steps took. Bytes are of the device's memory; on a CPU, of the process's resident set.

    `idle_bytes` were in use before the model was built, `peak_bytes` at most in training.
    """

    device: str
    threads: int
    steps: int
    seconds_per_step: float
    tokens_per_second: float
    idle_bytes: int
    peak_bytes: int

    @property
    def training_bytes(self) -> int:
        """The peak above what the process took while idle."""
        return self.peak_bytes - self.idle_bytes


def measure(config: RunConfig, seconds: float = SECONDS) -> Measurement:
    """Train on random tokens for some seconds, in a process of its own with torch in it.

    Raises NanochatError with the child's last line if it fails, out of memory included.
    """
    command = [sys.executable, "-m", "nanochat_framework.training.measure", str(seconds)]
    done = subprocess.run(command, input=json.dumps(config.to_dict()), capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"the process ended with {done.returncode}"])[-1]
        raise NanochatError(f"measuring failed: {last}")
    return Measurement(**json.loads(done.stdout))
