"""Where checkpoints live: each is whole or not there, however the writer dies. Torch-free; callers write the content.

A checkpoint is written into a hidden folder, sealed with a manifest of checksums, every file and folder synced, and
renamed. `best` and `final` are further names of step checkpoints, made of hard links. An empty file KEEP in a step
checkpoint protects it from `prune`; it is no part of what was sealed. Hidden names say what is going on
and whose it is: `.tmp-<name>-<process>` is being written, `.old-<name>-<process>` is being replaced,
`.trash-<name>-<process>` is being removed. LATEST names the step checkpoint that was written last, for people and
scripts; `CheckpointStore.latest` looks for itself.

Reading changes nothing on the disk, so anybody may open the store of a running training. The first write of a store
clears away what dead writers left; writers hold the run's lock (`RunDirectory.lock`).
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from nanochat_framework.errors import NanochatError
from nanochat_framework.runs.atomic import DiskFull, disk_full_reason, sync_file, sync_folder, write_atomic
from nanochat_framework.runs.checkpoint_manifest import files_in, problems, recorded_size, recorded_step, seal
from nanochat_framework.runs.process import is_alive, start_time

__all__ = ["KEEP", "LATEST", "SUPERSEDED", "CheckpointStore", "DiskFull", "is_checkpoint_name", "step_name"]

KEEP = "KEEP"
"""Name of the file that protects a checkpoint from pruning."""
LATEST = "LATEST"
SUPERSEDED = "superseded"
"""Folder of checkpoints that `rewind` has set aside."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")
_STEP = re.compile(r"step_(\d{8,})\Z")
_HIDDEN = re.compile(r"\.(?P<kind>tmp|old|trash)-(?P<name>.+)-(?P<pid>\d+)(?:\.(?P<started>\d+))?\Z")
_log = logging.getLogger(__name__)


def step_name(step: int) -> str:
    """Folder name of a step's checkpoint."""
    return f"step_{step:08d}"


def is_checkpoint_name(text: str) -> bool:
    """Whether a checkpoint can be called that: never so for a path, so that what is named is in the store."""
    return bool(_NAME.match(text)) and text not in (LATEST, SUPERSEDED)


class CheckpointStore:
    """The checkpoints of one run."""

    def __init__(self, root: Path) -> None:
        """`root` is the folder of checkpoints; it is made by the first write, in a folder that is there."""
        self.root = root
        self._recovered = False

    def write(self, name: str, write_files: Callable[[Path], None], *, step: int | None = None) -> Path:
        """Write a checkpoint; `write_files` fills the folder it is given. Returns the checkpoint's folder.

        A checkpoint of that name is replaced. `step`, the optimizer steps done, is taken from the name if that is a
        `step_name`, else from a `meta.json` that has it. On any failure what was there before is there still. Raises
        DiskFull when there is no room, and whatever `write_files` raises.
        """
        match = _STEP.match(name)

        def fill(folder: Path) -> None:
            write_files(folder)
            seal(folder, int(match.group(1)) if match else step)

        folder = self._make(name, fill)
        if match:
            self._point_at(name)
        return folder

    def link(self, source: str | Path, name: str) -> Path:
        """Give a checkpoint, or one in a folder of elsewhere, a further name.

        The files are shared where the file system can, copied where it cannot.

        Raises DiskFull, or NanochatError if files of the source are missing or cut short.
        """
        origin = self.path(source) if isinstance(source, str) else source
        wrong = problems(origin, checksums=False)
        if wrong:
            raise NanochatError(f"{self.root / name}: cannot be made from {source}: {wrong[0]}")

        def fill(folder: Path) -> None:
            for file in files_in(origin):
                if file == origin / KEEP:
                    continue
                target = folder / file.relative_to(origin)
                target.parent.mkdir(parents=True, exist_ok=True)
                try:
                    os.link(file, target)
                except OSError:
                    shutil.copy2(file, target)
                    sync_file(target)

        return self._make(name, fill)

    def latest(self, report: Callable[[str], None] = _log.warning) -> Path | None:
        """The newest whole checkpoint among the step checkpoints and `final`, by step; None if there is none.

        Those that are newer and not whole are left as they are, for a person to look at; `report` gets a line on each.
        """
        candidates = self.steps()
        final = self.path("final")
        if (step := recorded_step(final)) is not None:
            candidates = sorted([(step, final), *candidates], key=lambda found: found[0])
        for _, folder in reversed(candidates):
            wrong = problems(folder)
            if not wrong:
                return folder
            report(f"{folder}: passed over, it is not whole: {wrong[0]}")
        return None

    def steps(self) -> list[tuple[int, Path]]:
        """(step, folder) of the step checkpoints, whole or not, oldest first."""
        found = {}
        for entry in self._entries():
            hidden = _HIDDEN.match(entry.name)
            name = hidden["name"] if hidden and hidden["kind"] == "old" else entry.name
            if match := _STEP.match(name):
                found[int(match.group(1))] = self.path(name)
        return sorted(found.items())

    def path(self, name: str) -> Path:
        """Folder of a checkpoint by name, which need not exist.

        If a writer died while it replaced the checkpoint, the old one is returned from where it was put aside.
        """
        folder = self.root / name
        if not folder.exists():
            for entry in self._entries():
                hidden = _HIDDEN.match(entry.name)
                if hidden and hidden["kind"] == "old" and hidden["name"] == name:
                    return entry
        return folder

    @staticmethod
    def verify(folder: Path) -> list[str]:
        """What is wrong with a checkpoint by its manifest, checksums included; an empty list if it is whole."""
        return problems(folder)

    def prune(self, keep_last: int) -> list[str]:
        """Remove step checkpoints but the newest `keep_last` (at least 1) and kept ones; returns the names removed.

        Kept ones do not count. If none of the newest is whole, the newest whole one stays too.
        """
        self.recover()
        steps = [folder for _, folder in self.steps() if not self.is_kept(folder)]
        newest, surplus = steps[-max(1, keep_last) :], steps[: -max(1, keep_last)]
        if surplus and all(problems(folder) for folder in reversed(newest)):
            whole = next((folder for folder in reversed(surplus) if not problems(folder)), None)
            surplus = [folder for folder in surplus if folder != whole]
        return [folder.name for folder in surplus if self._discard(folder)]

    def remove(self, name: str) -> bool:
        """Remove a checkpoint unless it is kept; whether it was there and was removed.

        Beside a training that writes into this store it is safe for any step checkpoint but the newest. Raises OSError.
        """
        removed = self._discard(self.path(name))
        with contextlib.suppress(FileNotFoundError):
            if removed and (self.root / LATEST).read_text().strip() == name:
                self._point_at(next((folder.name for _, folder in reversed(self.steps())), None))
        return removed

    def keep(self, name: str, *, kept: bool = True) -> None:
        """Protect a step checkpoint from `prune`, or no longer. Anybody may, a training in progress does not mind.

        Raises NanochatError for a name that is no step checkpoint of this store, OSError.
        """
        folder = self.path(name)
        if not _STEP.match(name):
            raise NanochatError(f"{name}: is never pruned; keep a step checkpoint")
        try:
            if kept:
                (folder / KEEP).touch()  # and no other name: a training may be linking this folder's files
            else:
                (folder / KEEP).unlink(missing_ok=True)
            sync_folder(folder)
        except (FileNotFoundError, NotADirectoryError):
            raise NanochatError(f"{folder}: there is no such checkpoint") from None

    @staticmethod
    def is_kept(folder: Path) -> bool:
        """Whether a checkpoint is protected from pruning."""
        return (folder / KEEP).exists()

    def being_written(self) -> list[str]:
        """Names of checkpoints that somebody writes, or died over, by name."""
        hidden = [_HIDDEN.match(entry.name) for entry in self._entries()]
        return sorted({match["name"] for match in hidden if match and match["kind"] == "tmp"})

    def rewind(self, step: int) -> list[Path]:
        """Set aside, into `superseded/`, all checkpoints beyond `step`; returns their new folders.

        To be called when a run goes on from an earlier checkpoint than its newest, before the `resumed` event: else the
        next resume would take up the history that was given up.
        """
        self.recover()
        named = [(recorded_step(self.root / name), self.root / name) for name in ("final", "best")]
        moved = []
        for beyond, folder in [*self.steps(), *named]:
            if beyond is not None and beyond > step:
                target = _free_name(self.root / SUPERSEDED / folder.name)
                target.parent.mkdir(exist_ok=True)
                os.rename(folder, target)
                moved.append(target)
        if moved:
            sync_folder(self.root / SUPERSEDED)
            sync_folder(self.root)
            self._point_at(next((folder.name for _, folder in reversed(self.steps())), None))
        return moved

    def recover(self) -> None:
        """Make the folder, and clear away what dead writers left; a checkpoint that they put aside gets its name back.

        Everything that a training changes begins with it. The caller holds the run's lock.
        """
        if self._recovered:
            return
        self.root.mkdir(exist_ok=True)  # not its parents: a run's folder that has gone is not made again
        for entry in self._entries():
            hidden = _HIDDEN.match(entry.name)
            if hidden is None:
                continue
            if is_alive(int(hidden["pid"]), int(hidden["started"]) if hidden["started"] else None):
                continue
            if hidden["kind"] == "old" and not (self.root / hidden["name"]).exists():
                os.rename(entry, self.root / hidden["name"])
            else:
                _remove(entry)
        self._recovered = True

    def _make(self, name: str, fill: Callable[[Path], None]) -> Path:
        assert is_checkpoint_name(name), name
        self.recover()
        temporary = self._hidden("tmp", name)
        try:
            temporary.mkdir()
            fill(temporary)
            for folder in (temporary, *(entry for entry in temporary.rglob("*") if entry.is_dir())):
                sync_folder(folder)
            return self._publish(temporary, name)
        except Exception as error:
            reason = disk_full_reason(error)
            if reason is None:
                raise
            shutil.rmtree(temporary, ignore_errors=True)
            raise DiskFull(self._no_room(name, reason)) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _publish(self, temporary: Path, name: str) -> Path:
        target, aside = self.root / name, self._hidden("old", name)
        if self.is_kept(target):
            (temporary / KEEP).touch()
        with contextlib.suppress(FileNotFoundError):  # there is none, or a person removes it at this moment
            shutil.rmtree(aside, ignore_errors=True)
            os.rename(target, aside)
        try:
            os.rename(temporary, target)
        except BaseException:
            if aside.exists():
                os.rename(aside, target)
            raise
        if self.is_kept(aside):  # also by a person who came between the look and the deed
            (target / KEEP).touch()
        sync_folder(self.root)
        shutil.rmtree(aside, ignore_errors=True)
        return target

    def _discard(self, folder: Path) -> bool:
        """Out of sight at once, then off the disk, unless it is kept or gone."""
        trash = self._hidden("trash", folder.name)
        try:
            os.rename(folder, trash)
        except FileNotFoundError:
            return False
        if self.is_kept(trash):  # a person came between the look and the deed
            os.rename(trash, folder)
            return False
        shutil.rmtree(trash, ignore_errors=True)
        return True

    def _point_at(self, name: str | None) -> None:
        if name is None:
            (self.root / LATEST).unlink(missing_ok=True)
        else:
            write_atomic(self.root / LATEST, f"{name}\n".encode())

    def _no_room(self, name: str, reason: str) -> str:
        """One line: what did not fit, how much it would have taken, and what there is to go on from."""
        newest = self.latest(report=lambda line: None)
        free = f"{_gigabytes(shutil.disk_usage(self.root).free)} free"
        if newest is None:
            return f"{self.root / name}: cannot be written: {reason} ({free}); there is no earlier checkpoint"
        needed = f"about {_gigabytes(recorded_size(newest))} needed"
        return f"{self.root / name}: cannot be written: {reason} ({needed}, {free}); checkpoint {newest.name} is intact"

    def _hidden(self, kind: str, name: str) -> Path:
        """A hidden name of this process, its start time included where the system tells it (pids are reused)."""
        pid = os.getpid()
        started = start_time(pid)
        return self.root / f".{kind}-{name}-{pid}{'' if started is None else f'.{started}'}"

    def _entries(self) -> list[Path]:
        try:
            return sorted(self.root.iterdir())
        except FileNotFoundError:
            return []


def _remove(entry: Path) -> None:
    if entry.is_dir():
        shutil.rmtree(entry, ignore_errors=True)
    else:
        entry.unlink(missing_ok=True)


def _free_name(path: Path) -> Path:
    """The path, or the first of `<path>-2`, `<path>-3`, ... that does not exist."""
    number = 1
    while (candidate := path.with_name(f"{path.name}-{number}") if number > 1 else path).exists():
        number += 1
    return candidate


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e7 else f"{size / 1e6:.2f} MB"
