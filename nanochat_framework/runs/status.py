"""status.json: what a run is doing now, replaced atomically, and whether its process is still alive."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path
from typing import Any

from nanochat_framework.runs.atomic import write_atomic

HEARTBEAT_LIMIT_S = 120.0
"""A run on another machine is lost when its heartbeat is older than this."""
LIVE_STATES = frozenset({"queued", "starting", "running", "paused", "stopping"})


class StatusFile:
    """The writer's side. `state` is queued, starting, running, paused, stopping, stopped, finished or failed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.facts: dict[str, Any] = read_status(path) or {}

    def update(self, **facts: Any) -> None:
        """Change some facts; pid, host and heartbeat come by themselves."""
        self.facts.update(facts)
        self.facts.update(
            pid=os.getpid(),
            pid_start_time=process_start_time(os.getpid()),
            host=socket.gethostname(),
            heartbeat=time.time(),
        )
        write_atomic(self.path, json.dumps(self.facts, indent=1).encode() + b"\n", sync=False)


def read_status(path: Path) -> dict[str, Any] | None:
    """The status, None if there is none or it cannot be read."""
    try:
        status = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return status if isinstance(status, dict) else None


def state_of(status: dict[str, Any] | None) -> str:
    """The state, with `lost` for a run that says it is live and whose process is not."""
    if status is None:
        return "unknown"
    state = str(status.get("state", "unknown"))
    if state not in LIVE_STATES:
        return state
    if status.get("host") == socket.gethostname():
        started = process_start_time(int(status["pid"]))
        alive = _exists(int(status["pid"])) and started == status.get("pid_start_time")
    else:
        alive = time.time() - float(status.get("heartbeat", 0)) < HEARTBEAT_LIMIT_S
    return state if alive else "lost"


def process_start_time(pid: int) -> int | None:
    """When a process started, in clock ticks since boot (tells a reused pid apart); None where the system does not say."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[19])


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
