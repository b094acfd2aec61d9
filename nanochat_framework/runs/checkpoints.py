"""A run's checkpoints as people see them: what each is worth, which are kept, and which may go. Torch-free."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nanochat_framework.errors import NanochatError, UsageError
from nanochat_framework.runs.atomic import system_reason
from nanochat_framework.runs.checkpoint_manifest import MANIFEST, problems, recorded_size, recorded_step
from nanochat_framework.runs.checkpoint_store import CheckpointStore, is_checkpoint_name, step_name
from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.jsonlines import Record, is_number, plain
from nanochat_framework.runs.metrics import EVAL_LOSS, read_evaluations
from nanochat_framework.runs.status import LIVE_STATES, liveness, read_status

_STEP_NUMBER = re.compile(r"[0-9]{1,18}\Z")
FURTHER_NAMES = ("best", "final")
"""Names beside the steps; each has the files of a step."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint as listings show it; what is not known is None.

    `written`: seconds since 1970. `eval_loss`, `bits_per_byte`: of the evaluation at its very step. `problem`: why it is
    not whole. `same_as`: other names of the same files, which take no room of their own.
    """

    name: str
    step: int | None
    bytes: int
    written: float | None
    eval_loss: float | None
    bits_per_byte: float | None
    kept: bool
    problem: str | None
    same_as: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        data: dict[str, Any] = plain(asdict(self))
        return data


def checkpoints(
    run: RunDirectory, *, checksums: bool = False, begins: Callable[[str], None] = lambda name: None
) -> list[Checkpoint]:
    """A run's checkpoints, oldest first, then `best` and `final`.

    Whether one is whole is told by the sizes of its files, or with `checksums` by every byte of them; `begins` gets the
    name of each that is looked at. Raises OSError.
    """
    store = CheckpointStore(run.checkpoints)
    folders = _named_steps(store)
    folders += [(name, folder) for name in FURTHER_NAMES if (folder := store.path(name)).is_dir()]
    files = {name: _identity(folder) for name, folder in folders}
    scores = {record["step"]: record for record in read_evaluations(run.metrics)} if folders else {}
    found = []
    for name, folder in folders:
        begins(name)
        step = recorded_step(folder)
        score: Record = scores.get(step, {})
        found.append(
            Checkpoint(
                name=name,
                step=step,
                bytes=recorded_size(folder),
                written=_written(folder),
                eval_loss=_figure(score, EVAL_LOSS),
                bits_per_byte=_figure(score, "eval/bits_per_byte"),
                kept=store.is_kept(folder),
                problem=next(iter(problems(folder, checksums=checksums)), None),
                same_as=tuple(n for n, file in files.items() if n != name and file and file == files[name]),
            )
        )
    return found


def checkpoint_named(run: RunDirectory, text: str) -> str:
    """The name of a checkpoint that is there, by its name or its step. Raises UsageError with the names that there are."""
    store = CheckpointStore(run.checkpoints)
    name = step_name(int(text)) if _STEP_NUMBER.match(text) else text
    if is_checkpoint_name(name):
        further = name in FURTHER_NAMES and store.path(name).is_dir()  # listed, so nameable, if it is damaged too
        if further or os.path.isfile(store.path(name) / MANIFEST) or name in dict(_named_steps(store)):
            return name
        if name in store.being_written():
            raise UsageError(f"{run.name}: {name} is being written; wait until it is there")
    there = ", ".join(each.name for each in checkpoints(run)) or "none"
    raise UsageError(f"{run.name}: there is no checkpoint {text!r}; there are: {there}")


def whole_checkpoint(run: RunDirectory, text: str) -> Path:
    """The folder of a checkpoint to go on from, by its name or its step; all of it is read.

    Raises UsageError where there is none of that name, or it is not whole.
    """
    store = CheckpointStore(run.checkpoints)
    folder = store.path(checkpoint_named(run, text))
    wrong = store.verify(folder)
    if wrong:
        raise UsageError(f"{folder}: cannot go on from it: {wrong[0]}")
    return folder


def keep(run: RunDirectory, name: str, *, kept: bool = True) -> None:
    """Protect a checkpoint from pruning (`checkpoint.keep_last`), or no longer; also while the run trains.

    Raises UsageError for a name that is no step checkpoint, or where the folder cannot be written.
    """
    try:
        CheckpointStore(run.checkpoints).keep(checkpoint_named(run, name), kept=kept)
    except (OSError, NanochatError) as error:
        raise UsageError(f"{run.name}: {system_reason(error) or error}") from None


def refusal(run: RunDirectory, name: str) -> str | None:
    """Why a checkpoint must not be removed now; None if it may.

    Of a run that trains the newest step checkpoint stays: it is what the training would be resumed from, and may be given a
    further name at any moment. So the only one stays, too.
    """
    store = CheckpointStore(run.checkpoints)
    if store.is_kept(store.path(name)):
        return f"{name} is kept; `nanochat checkpoints unkeep` first"
    state = liveness(read_status(run.status))
    if state not in LIVE_STATES:
        return None
    if name in store.being_written():
        return f"{name} is being written"
    steps = [folder for _, folder in store.steps()]
    newest = {*steps[-1:], _newest_whole(steps)}
    if store.path(name) in newest or (name in FURTHER_NAMES and not steps):
        return f"{run.name} is {state} and would go on from {name}"
    return None


def remove_checkpoint(run: RunDirectory, name: str) -> None:
    """Remove one checkpoint. Raises UsageError where `refusal` has a reason, or where the folder cannot be written."""
    name = checkpoint_named(run, name)
    store = CheckpointStore(run.checkpoints)
    reason = refusal(run, name)
    if reason is not None:
        raise UsageError(f"{run.name}: {reason}")
    trains = liveness(read_status(run.status)) in LIVE_STATES
    try:
        # A training holds the lock, and leaves older checkpoints alone; without one nobody may begin meanwhile.
        with contextlib.nullcontext() if trains else run.lock():
            removed = store.remove(name)
    except OSError as error:
        raise UsageError(f"{run.checkpoints / name}: cannot be removed ({error.strerror})") from None
    if not removed:
        raise UsageError(f"{run.name}: {name} is gone already, or was kept meanwhile")


def _figure(record: Record, name: str) -> float | None:
    value = record.get(name)
    return value if is_number(value) else None


def _named_steps(store: CheckpointStore) -> list[tuple[str, Path]]:
    """(name, folder) of the step checkpoints; the folder of one that is being replaced may have a hidden name."""
    return [(step_name(step) if folder.name.startswith(".") else folder.name, folder) for step, folder in store.steps()]


def _newest_whole(folders: list[Path]) -> Path | None:
    return next((folder for folder in reversed(folders) if not problems(folder, checksums=False)), None)


def _identity(folder: Path) -> tuple[int, int] | None:
    """The manifest's file: names of one checkpoint share it."""
    try:
        facts = (folder / MANIFEST).stat()
    except OSError:
        return None
    return facts.st_dev, facts.st_ino


def _written(folder: Path) -> float | None:
    for path in (folder / MANIFEST, folder):
        with contextlib.suppress(OSError):
            return path.stat().st_mtime
    return None
