"""The manifest that seals a checkpoint: size and SHA-256 of every file. Torch-free."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from nanochat_framework.runs.atomic import sync_file, write_atomic

MANIFEST = "manifest.json"
META = "meta.json"
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class _File:
    name: str
    size: int
    sha256: str


def files_in(folder: Path) -> list[Path]:
    """All files of a checkpoint, the manifest included, by name."""
    return sorted(entry for entry in folder.rglob("*") if entry.is_file())


def seal(folder: Path, step: int | None) -> None:
    """Sync every file of a folder and write the manifest. Raises OSError or DiskFull."""
    files = {}
    (folder / MANIFEST).unlink(missing_ok=True)  # of the checkpoint that these files were copied from
    for file in files_in(folder):
        sync_file(file)
        facts = {"size": file.stat().st_size, "sha256": _sha256(file)}
        files[file.relative_to(folder).as_posix()] = facts
    assert files, f"{folder}: a checkpoint without files"
    sealed = {"schema_version": SCHEMA_VERSION, "step": _step_in_meta(folder) if step is None else step, "files": files}
    write_atomic(folder / MANIFEST, json.dumps(sealed, indent=1).encode() + b"\n")


def problems(folder: Path, *, checksums: bool = True) -> list[str]:
    """What is wrong with a checkpoint, one line each; an empty list if it is whole.

    Without `checksums` only the presence and size of the files is looked at. Files that the manifest does not have are
    nobody's concern.
    """
    if not folder.is_dir():
        return [f"{folder.name}: there is no such checkpoint"]
    files = _manifest(folder)
    if files is None:
        return [f"{folder.name}: no readable {MANIFEST}"]
    return [problem for facts in files for problem in _wrong(folder, facts, checksums)]


def recorded_step(folder: Path) -> int | None:
    """The optimizer step that the manifest names; None without one."""
    return _count(_read(folder / MANIFEST).get("step"))


def recorded_size(folder: Path) -> int:
    """Bytes of a checkpoint's files by its manifest; 0 without one."""
    return sum(facts.size for facts in _manifest(folder) or ())


def _wrong(folder: Path, facts: _File, checksums: bool) -> Iterator[str]:
    file = folder / facts.name
    name = f"{folder.name}/{facts.name}"
    try:
        size = file.stat().st_size
        if size != facts.size:
            yield f"{name} is not what was written: it has {size:,} bytes instead of {facts.size:,}"
        elif checksums and _sha256(file) != facts.sha256:
            yield f"{name} is not what was written: its SHA-256 differs"
    except FileNotFoundError:
        yield f"{name} is missing"
    except OSError as error:
        yield f"{name} cannot be read ({error.strerror})"


def _manifest(folder: Path) -> list[_File] | None:
    """The manifest's files; None if it is missing, torn, empty, or of a kind that this version does not know."""
    sealed = _read(folder / MANIFEST)
    entries = sealed.get("files")
    if sealed.get("schema_version") != SCHEMA_VERSION or not isinstance(entries, dict) or not entries:
        return None
    files = []
    for name, facts in entries.items():
        if not isinstance(facts, dict):
            return None
        size, digest, path = _count(facts.get("size")), facts.get("sha256"), PurePosixPath(name)
        if size is None or not isinstance(digest, str) or path.is_absolute() or ".." in path.parts:
            return None
        files.append(_File(name, size, digest))
    return files


def _step_in_meta(folder: Path) -> int | None:
    return _count(_read(folder / META).get("step"))


def _read(path: Path) -> dict[str, object]:
    """A JSON object; empty if the file has none."""
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
