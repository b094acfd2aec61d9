"""Which models there are to talk to: the checkpoints of a run, newest first, and any file."""

from __future__ import annotations

import os
from pathlib import Path

from nanochat_framework.errors import UsageError
from nanochat_framework.runs.checkpoint_manifest import recorded_size, recorded_step
from nanochat_framework.runs.checkpoint_store import CheckpointStore
from nanochat_framework.runs.directory import RunDirectory
from nanochat_tui.charts.ticks import short


def checkpoints(run: RunDirectory) -> list[tuple[str, str, Path]]:
    """(name, step and size, folder) of a run's checkpoints, the newest first, `best` before others of its step.

    Raises OSError.
    """
    store = CheckpointStore(run.checkpoints)
    named = [(recorded_step(store.path(name)), store.path(name)) for name in ("best", "final")]
    found = [(step, path) for step, path in named if step is not None] + store.steps()
    found.sort(key=lambda each: each[0], reverse=True)
    return [(path.name, f"step {step:>9,}   {short(recorded_size(path)):>6}B", path) for step, path in found]


def existing(text: str) -> Path:
    """The path that a person typed. Raises UsageError where nothing is there."""
    path = os.path.expanduser(text.strip())
    if not os.path.exists(path):  # False, not an error, for what is no path
        raise UsageError(f"{text.strip() or 'nothing was typed'}: no such file or folder")
    return Path(path)


def title(path: Path) -> str:
    """How a model is called: run and checkpoint, else the file."""
    return f"{path.parent.parent.name}  {path.name}" if path.parent.name == "checkpoints" else path.name
