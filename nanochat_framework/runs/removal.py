"""Removing runs: out of sight at once, then off the disk, so that a crash never leaves half a run."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from nanochat_framework.errors import UsageError
from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.status import listens, liveness, read_status

_TRASH = ".trash-"
_TRASH_LIMIT_S = 3600.0


def check_removable(run: RunDirectory) -> None:
    """Raises UsageError if a run trains, or waits for its turn."""
    status = read_status(run.status)
    if listens(status):
        raise UsageError(f"{run.name} is {liveness(status)}; stop it first (`nanochat runs stop {run.path}`)")


def remove(run: RunDirectory) -> None:
    """Remove a run with everything in it; other runs that were forked from it keep what they have.

    Raises UsageError as `check_removable` does, or if the folder cannot be moved.
    """
    check_removable(run)
    trash = run.path.parent / f"{_TRASH}{run.name}-{uuid.uuid4().hex}"
    try:
        with run.lock():  # a training that has only begun has no status yet
            os.rename(run.path, trash)
    except OSError as error:
        raise UsageError(f"{run.path}: cannot be removed ({error.strerror})") from None
    shutil.rmtree(trash, ignore_errors=True)
    _remove_abandoned(run.path.parent)


def kept_unless_refused(run: RunDirectory, train: Callable[[], int]) -> int:
    """Train a run that was made a moment ago; returns the exit code.

    One that is refused (data, device) before its first record is removed, so that its name is free again.
    """
    code = UsageError.exit_code
    try:
        code = train()
    except UsageError:
        _remove_unbegun(run)
        raise
    if code == UsageError.exit_code:
        _remove_unbegun(run)
    return code


def _remove_unbegun(run: RunDirectory) -> None:
    if not run.metrics.exists() or run.metrics.stat().st_size == 0:
        shutil.rmtree(run.path, ignore_errors=True)


def folder_size(path: Path) -> int:
    """Bytes of all files below a folder; those that several names share count once."""
    sizes: dict[tuple[int, int], int] = {}
    for folder, _, files in os.walk(path):
        for name in files:
            with contextlib.suppress(OSError):
                facts = os.lstat(os.path.join(folder, name))
                sizes[facts.st_dev, facts.st_ino] = facts.st_size
    return sum(sizes.values())


def _remove_abandoned(runs_dir: Path) -> None:
    """Remove what a crash inside `remove` left behind."""
    for entry in runs_dir.glob(f"{_TRASH}*"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - entry.stat().st_mtime > _TRASH_LIMIT_S:
                shutil.rmtree(entry, ignore_errors=True)
