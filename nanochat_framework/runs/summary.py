"""What there is to say of a run in one line, read from two small files; a folder of hundreds is listed at once."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from nanochat_framework.errors import UsageError
from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.jsonlines import plain
from nanochat_framework.runs.status import LIVE_STATES, Status, liveness, read_status
from nanochat_framework.runs.tags import read_tags


@dataclass(frozen=True)
class RunSummary:
    """A run as listings show it. Times are in seconds since 1970; what is not known is None.

    `state` is that of `runs.status.liveness`: `lost` if the run says that it trains and its process is gone, `unknown`
    without a status. `parent` is the run (and checkpoint) that it was forked from, `waits_for` the runs that come before a
    queued one, `alias` another name (`runs.alias`).
    """

    name: str
    alias: str | None
    path: str
    state: str
    step: int
    total_steps: int
    tokens: int
    attempt: int
    loss: float | None
    eval_loss: float | None
    bits_per_byte: float | None
    tokens_per_second: float | None
    created: float | None
    heartbeat: float | None
    host: str | None
    pid: int | None
    latest_checkpoint: str | None
    error: str | None
    parent: str | None
    waits_for: tuple[str, ...]
    tags: tuple[str, ...]

    @property
    def run(self) -> RunDirectory:
        """The run's folder."""
        return RunDirectory(Path(self.path))

    @property
    def called(self) -> str:
        """What to call it where there is little room: its alias, else its name."""
        return self.alias or self.name

    @property
    def title(self) -> str:
        """Its alias and, in brackets, its name; its name where it has no alias."""
        return f"{self.alias} ({self.name})" if self.alias else self.name

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        data: dict[str, Any] = plain(asdict(self))
        return data


def summarize(run: RunDirectory, now: float | None = None) -> RunSummary:
    """A run's summary; `now` is in seconds since 1970. What cannot be read is left out."""
    info: dict[str, Any] = {}
    with contextlib.suppress(UsageError):
        info = run.info()
    known = read_status(run.status)
    status, state = known or Status(), liveness(known, now)
    return RunSummary(
        name=run.name,
        alias=run.alias,
        path=str(run.path),
        state=state,
        step=status.step,
        total_steps=status.total_steps,
        tokens=status.tokens,
        attempt=status.attempt,
        loss=status.metrics.get("train/loss"),
        eval_loss=status.metrics.get("eval/loss"),
        bits_per_byte=status.metrics.get("eval/bits_per_byte"),
        tokens_per_second=status.metrics.get("train/tokens_per_second"),
        created=_seconds(info.get("created")),
        heartbeat=status.heartbeat or None,
        host=status.host,
        pid=status.pid,
        latest_checkpoint=status.latest_checkpoint,
        error=status.error,
        parent=_parent(info.get("parent")),
        waits_for=tuple(status.waits_for) if state == "queued" else (),
        tags=read_tags(run),
    )


def again(summary: RunSummary, now: float) -> RunSummary:
    """The summary of a run whose files did not change: only whether it still lives can have."""
    if summary.state not in (*LIVE_STATES, "queued", "lost"):
        return summary
    state = liveness(read_status(summary.run.status), now)
    return summary if state == summary.state else replace(summary, state=state)


def summaries(runs_dir: Path) -> list[RunSummary]:
    """Those of all runs in a folder, by name."""
    now = time.time()
    return [summarize(run, now) for run in RunDirectory.all(runs_dir)]


def _parent(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _seconds(created: Any) -> float | None:
    try:
        return datetime.fromisoformat(created).timestamp()
    except (TypeError, ValueError):
        return None
