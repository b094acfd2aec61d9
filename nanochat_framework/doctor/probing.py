"""Starts the look at torch in a child process, and reads what it found."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import Any

PATIENCE_SECONDS = 120.0
"""An import of torch from a cold disk takes tens of seconds; one that takes longer hangs."""


class TorchProbe:
    """The child runs beside the other looks; `result()` waits for it."""

    def __init__(self, *, patience: float = PATIENCE_SECONDS) -> None:
        self._patience = patience
        self._child = subprocess.Popen(
            [sys.executable, "-m", "nanochat_framework.doctor.torch_probe"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )

    def result(self) -> dict[str, Any]:
        """What `torch_probe.probe` returned; `error` and `absent` alone if the child could not say."""
        try:
            out, err = self._child.communicate(timeout=self._patience)
        except subprocess.TimeoutExpired:
            return {"error": f"importing torch took more than {self._patience:.0f} s", "absent": False}
        finally:
            self.close()
        lines = out.strip().splitlines()
        try:
            found: dict[str, Any] = json.loads(lines[-1])
            return found
        except (IndexError, ValueError):
            return {"error": _death(self._child.returncode, err), "absent": False}

    def close(self) -> None:
        """End the child, if it is still there."""
        if self._child.poll() is None:
            self._child.kill()
            self._child.communicate()


def _death(code: int, err: str) -> str:
    last = next((line.strip() for line in reversed(err.splitlines()) if line.strip()), "")
    if code < 0:
        return f"importing torch ended the process by {signal.Signals(-code).name}"
    return f"importing torch ended the process with code {code}" + (f": {last[:200]}" if last else "")
