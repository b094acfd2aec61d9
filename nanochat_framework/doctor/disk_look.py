"""Judges the folders that get written: really writes to each, since permissions and quotas are known only then."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from nanochat_framework.doctor.finding import NOTE, OK, PROBLEM, Finding
from nanochat_framework.machine.folders import cache_folder
from nanochat_framework.runs.directory import default_runs_dir

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_TRIAL_BYTES = 1_000_000
_LITTLE_BYTES = 5_000_000_000
"""Three checkpoints of a model with 125 million parameters, 12 bytes each, are 4.5 GB."""


def look_at_disk(runs_dir: Path | None = None) -> Iterator[Finding]:
    """The runs' folder, the cache and the temporary folder."""
    places: tuple[tuple[str, Callable[[], Path], str], ...] = (
        ("runs", lambda: runs_dir or default_runs_dir(), "--runs-dir or NANOCHAT_RUNS_DIR"),
        ("cache", cache_folder, "XDG_CACHE_HOME"),
        ("temporary files", lambda: Path(tempfile.gettempdir()), "TMPDIR"),
    )
    for purpose, find, setting in places:
        try:
            yield look_at_folder(purpose, find(), setting)
        except (OSError, RuntimeError) as error:  # no folder can be written; a user who has no home
            todo = f"set {setting} to a folder that can be written"
            yield Finding("disk", PROBLEM, f"{purpose}: {' '.join(str(error).split())}", todo)


def look_at_folder(purpose: str, folder: Path, setting: str) -> Finding:
    """Write and remove a megabyte there, or in the nearest folder above it that exists."""
    existing = next((each for each in (folder.absolute(), *folder.absolute().parents) if each.exists()), Path("/"))
    named, elsewhere = f"{purpose} in {folder}", f"choose another folder with {setting}"
    if not existing.is_dir():
        return Finding("disk", PROBLEM, f"{named}: {existing} is a file", elsewhere)
    try:
        with tempfile.TemporaryFile(dir=existing) as trial:
            trial.write(b"\0" * _TRIAL_BYTES)
            trial.flush()
            os.fsync(trial.fileno())
        free = shutil.disk_usage(existing).free
    except OSError as error:
        todo = f"free some space (`nanochat runs rm`), or {elsewhere}" if error.errno in _NO_ROOM else elsewhere
        return Finding("disk", PROBLEM, f"{named} cannot be written: {error.strerror}", todo)
    what = f"{named}: {free / 1e9:.1f} GB free"
    if free < _LITTLE_BYTES and purpose == "runs":
        return Finding(
            "disk", NOTE, what, "`nanochat plan CONFIG` tells what the checkpoints take; lower checkpoint.keep_last"
        )
    return Finding("disk", OK, what)
