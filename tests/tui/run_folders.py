"""Runs' folders as trainings write them, and the dashboard's screen as text."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from textual.app import App

from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.events import EventLog
from nanochat_framework.runs.metrics import MetricsLog
from nanochat_framework.runs.status import StatusFile
from nanochat_framework.runs.tags import change_tags

DAY = 86400
DEADLINE_SECONDS = 120.0


def make_run(
    runs_dir: Path,
    name: str,
    *,
    state: str = "finished",
    step: int = 0,
    total: int = 1000,
    days: int = 3,
    tags: tuple[str, ...] = (),
    lr: float = 0.01,
    metrics: Mapping[str, float] | None = None,
    gone: bool = False,
) -> RunDirectory:
    """A run; `gone` says that its process is no more."""
    config = {
        "model": {"name": "decoder", "dim": 64},
        "optimizer": [{"name": "adamw", "lr": lr}],
        "train": {"steps": total},
    }
    run = RunDirectory.create(
        runs_dir, name, sources=[("x.toml", b"")], resolved=config, components_lock=[], overrides=[], argv=["nanochat"]
    )
    info = json.loads(run.run_json.read_bytes())
    info["created"] = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(time.time() - days * DAY - 5))
    run.run_json.write_text(json.dumps(info))
    status = StatusFile(run.status)
    status.update(state=state, step=step, total_steps=total, tokens=step * 4096, attempt=1, metrics=dict(metrics or {}))
    if gone:
        facts = json.loads(run.status.read_bytes())
        run.status.write_text(json.dumps({**facts, "pid": 2**22 + 1}))
    if tags:
        change_tags(run, tags)
    return run


def log_steps(run: RunDirectory, first: int, last: int, every: int = 1) -> None:
    """Metrics of steps, as a training's first attempt writes them."""
    if not run.events.exists():
        events = EventLog(run.events, 1)
        events.write("started", rewound_to=0)
        events.close()
    log = MetricsLog(run.metrics, 1)
    for step in range(first, last + 1, every):
        values = {
            "train/loss": 2.0 + 6.0 * math.exp(-step / 200),
            "train/grad_norm": 1.0 + 3.0 / step,
            "train/learning_rate/matrix": 0.01,
            "train/learning_rate/rest": 0.001,
            "train/tokens_per_second": 12_000.0,
            "system/memory_resident_bytes": 5e8,
            "train/entropy": 3.0,
        }
        if step % 100 == 0:
            values |= {"eval/loss": 2.2 + 6.0 * math.exp(-step / 200), "eval/bits_per_byte": 0.9}
        log.write(step=step, tokens=step * 4096, values=values)
    log.close()


def text_of(app: App[Any]) -> str:
    """What the screen shows, without colours."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)


def said(app: App[Any]) -> str:
    """What the dashboard said in passing."""
    return "\n".join(notification.message for notification in app._notifications)


async def until(condition: Callable[[], bool], pause: Callable[[], Awaitable[None]]) -> None:
    """Wait for something, and for what comes with it; fails after DEADLINE_SECONDS."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        await pause()
        await asyncio.sleep(0.02)
    await pause()
