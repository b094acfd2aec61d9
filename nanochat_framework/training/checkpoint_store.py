"""Where checkpoints live: each is whole or not there, however the writer dies. Torch-free; callers write the content.

A checkpoint is written into a hidden folder, every file synced, sealed with a manifest of checksums, and renamed.
`best` and `final` are further names of step checkpoints, made of hard links. Replacing one moves the old aside first;
opening the store puts it back if the writer died between the two renames.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nanochat_framework.errors import NanochatError
from nanochat_framework.runs.atomic import sync_folder, write_atomic

MANIFEST = "manifest.json"
LATEST = "LATEST"
_STEP = re.compile(r"step_(\d{8,})\Z")
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class DiskFull(NanochatError):
    """A checkpoint did not fit on the disk; what was there before is untouched."""


def step_name(step: int) -> str:
    """Folder name of a step's checkpoint."""
    return f"step_{step:08d}"


class CheckpointStore:
    """The checkpoints of one run."""

    def __init__(self, root: Path) -> None:
        """Open the store: bring back a name whose replacement was cut short, and clear away what dead writers left."""
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        for entry in list(root.iterdir()):
            kind, _, rest = entry.name.partition("-")
            pid, _, name = rest.partition("-")
            if kind not in (".tmp", ".old") or not pid.isdigit() or _alive(int(pid)):
                continue
            if kind == ".old" and _STEP.match(name) is None and not (root / name).exists():
                os.rename(entry, root / name)
            elif entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)

    def write(self, name: str, write_files: Callable[[Path], None]) -> Path:
        """Write a checkpoint; `write_files` fills the folder it is given. Raises DiskFull when the disk is."""
        temporary = self.root / f".tmp-{os.getpid()}-{name}"
        shutil.rmtree(temporary, ignore_errors=True)
        try:
            temporary.mkdir()
            write_files(temporary)
            seal(temporary)
            return self._publish(temporary, name)
        except OSError as error:
            if error.errno in _NO_SPACE:
                raise self._disk_full(name, error) from error
            raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def link(self, source: str, name: str) -> Path:
        """Give a checkpoint a further name; the files are shared where the file system can."""
        temporary = self.root / f".tmp-{os.getpid()}-{name}"
        shutil.rmtree(temporary, ignore_errors=True)
        try:
            temporary.mkdir()
            for file in (self.root / source).iterdir():
                try:
                    os.link(file, temporary / file.name)
                except OSError:
                    shutil.copy2(file, temporary / file.name)
            return self._publish(temporary, name)
        except OSError as error:
            if error.errno in _NO_SPACE:
                raise self._disk_full(name, error) from error
            raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _publish(self, temporary: Path, name: str) -> Path:
        sync_folder(temporary)
        target, aside = self.root / name, self.root / f".old-{os.getpid()}-{name}"
        if target.exists():
            os.rename(target, aside)
        os.rename(temporary, target)
        sync_folder(self.root)
        if _STEP.match(name):
            write_atomic(self.root / LATEST, f"{name}\n".encode())
        shutil.rmtree(aside, ignore_errors=True)
        return target

    def _disk_full(self, name: str, error: OSError) -> DiskFull:
        newest = self.latest()
        kept = f"checkpoint {newest.name} is intact" if newest else "there is no earlier checkpoint"
        return DiskFull(f"{self.root / name}: no room to write it ({os.strerror(error.errno or 0)}); {kept}")

    def steps(self) -> list[tuple[int, Path]]:
        """(step, folder) of the step checkpoints, oldest first."""
        found = [(match, entry) for entry in self.root.iterdir() if (match := _STEP.match(entry.name))]
        return sorted((int(match.group(1)), entry) for match, entry in found)

    def latest(self) -> Path | None:
        """The newest whole checkpoint; torn ones are passed over and left for the person to look at."""
        for _, folder in reversed(self.steps()):
            if not self.verify(folder):
                return folder
        return next((self.root / n for n in ("final", "best") if not self.verify(self.root / n)), None)

    def verify(self, folder: Path) -> list[str]:
        """What is wrong with a checkpoint, by its manifest; an empty list if it is whole."""
        try:
            manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text())["files"]
        except (OSError, ValueError, KeyError, TypeError):
            return [f"{folder.name}: no readable {MANIFEST}"]
        problems = []
        for name, facts in manifest.items():
            file = folder / name
            if not file.is_file():
                problems.append(f"{folder.name}/{name} is missing")
            elif file.stat().st_size != facts["bytes"] or _sha256(file) != facts["sha256"]:
                problems.append(f"{folder.name}/{name} is not what was written")
        return problems

    def prune(self, keep_last: int) -> None:
        """Remove all but the newest `keep_last` step checkpoints, never the last whole one."""
        steps = self.steps()
        newest = self.latest()
        for _, folder in steps[: max(0, len(steps) - keep_last)]:
            if folder == newest:
                continue
            doomed = self.root / f".tmp-{os.getpid()}-{folder.name}"
            os.rename(folder, doomed)
            shutil.rmtree(doomed, ignore_errors=True)


def seal(folder: Path) -> None:
    """Sync every file of a folder and write the manifest of their sizes and checksums."""
    files = {}
    for file in sorted(folder.iterdir()):
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
        files[file.name] = {"bytes": file.stat().st_size, "sha256": _sha256(file)}
    write_atomic(folder / MANIFEST, json.dumps({"schema_version": 1, "files": files}, indent=1).encode() + b"\n")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
