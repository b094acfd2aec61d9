"""Everything that a run's folder says of it, as plain data in the order that people read it."""

from __future__ import annotations

import contextlib
import time
from typing import Any

from nanochat_framework.errors import UsageError
from nanochat_framework.runs.checkpoints import Checkpoint, checkpoints
from nanochat_framework.runs.control import settings_at
from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.jsonlines import plain, read
from nanochat_framework.runs.last_values import last_values
from nanochat_framework.runs.metrics import KEYS
from nanochat_framework.runs.removal import folder_size
from nanochat_framework.runs.status import heartbeat_age, read_status
from nanochat_framework.runs.summary import summarize

N_EVENTS = 8
"""So many of the newest events are shown."""
_FROM_RUN_JSON = ("created", "argv", "overrides", "config_sources", "framework", "python", "platform")


def facts(run: RunDirectory) -> dict[str, Any]:
    """The facts; numbers that are not finite are texts, as in the files."""
    info: dict[str, Any] = {}
    with contextlib.suppress(UsageError):
        info = run.info()
    summary, status, events = summarize(run), read_status(run.status), list(read(run.events))
    metrics = last_values(run.metrics)
    found = {
        **{
            key: getattr(summary, key)
            for key in ("name", "alias", "path", "state", "error", "step", "total_steps", "tokens")
        },
        **({"waits_for": list(summary.waits_for)} if summary.waits_for else {}),
        "attempts": summary.attempt,
        "heartbeat": None if status is None else f"{heartbeat_age(status)} ago",
        "host": summary.host,
        "pid": summary.pid,
        "tags": list(summary.tags),
        "parent": summary.parent,
        **{key: info.get(key) for key in _FROM_RUN_JSON},
        "metrics": {name: value for name, value in metrics.items() if name not in KEYS},
        "settings": settings_at(events, summary.step),
        "checkpoints": [_checkpoint(each) for each in checkpoints(run)],
        "events": [_event(event) for event in events[-N_EVENTS:]],
        "bytes": folder_size(run.path),
    }
    data: dict[str, Any] = plain(found)
    return data


def _checkpoint(found: Checkpoint) -> dict[str, Any]:
    """What there is room for in a line."""
    facts = {"name": found.name, "step": found.step, "bytes": found.bytes, "problem": found.problem}
    return {**facts, "kept": True} if found.kept else facts


def _event(event: dict[str, Any]) -> dict[str, Any]:
    at = event.get("time")
    clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at)) if isinstance(at, int | float) else "-"
    rest = {key: value for key, value in event.items() if key not in ("time", "kind", "by", "attempt")}
    return {"time": clock, "kind": event.get("kind"), **rest}
