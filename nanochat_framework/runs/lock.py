"""One holder at a time, across processes; the lock of a dead holder is free."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from nanochat_framework.errors import UsageError
from nanochat_framework.runs.process import host_name, is_alive, pid_namespace, start_time

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


class Held(UsageError):
    """Somebody else has the lock; the message says who."""


@contextmanager
def hold(path: Path, *, doing: str = "training this run") -> Iterator[None]:
    """Hold the lock file `path` while the block runs. Raises Held, naming the holder, if somebody has it.

    The system's own lock (flock) ends with its holder, however that dies. Where the system or the file system has
    none, a file beside the lock names the holder, and one whose process is dead is taken over.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror})") from None
    try:
        owner_file = (
            None if _flock(descriptor, path, doing) else _claim_by_file(path.with_name(f"{path.name}.owner"), doing)
        )
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, _me(), 0)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # the folder may have gone meanwhile; the lock ends with its file
                os.ftruncate(descriptor, 0)
                if owner_file is not None:
                    owner_file.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


@contextmanager
def hold_soon(path: Path, *, doing: str, seconds: float = 5.0) -> Iterator[None]:
    """`hold`, for what takes a moment: waits up to `seconds` until others have let go. Raises Held after that."""
    deadline = time.monotonic() + seconds
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(hold(path, doing=doing))
                break
            except Held:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
        yield


def _flock(descriptor: int, path: Path, doing: str) -> bool:
    """Take the system's lock; False if there is none for this file. Raises UsageError if somebody has it."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise _held(path, _owner(path), doing) from None
    except OSError:
        return False
    return True


def _claim_by_file(path: Path, doing: str) -> Path:
    """Make the file that names the holder; it must not exist, or name a dead one. Raises UsageError."""
    for _ in range(2):
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            owner = _owner(path)
            if not _dead(owner):
                raise _held(path, owner, doing) from None
            path.unlink(missing_ok=True)
        else:
            os.write(descriptor, _me())
            os.close(descriptor)
            return path
    raise _held(path, _owner(path), doing)


def _me() -> bytes:
    pid = os.getpid()
    facts = {"pid": pid, "started": start_time(pid), "namespace": pid_namespace(), "host": host_name()}
    return json.dumps(facts).encode() + b"\n"


def _owner(path: Path) -> dict[str, Any]:
    try:
        owner = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return owner if isinstance(owner, dict) and isinstance(owner.get("pid"), int) else {}


def _dead(owner: dict[str, Any]) -> bool:
    """Whether the holder surely is dead; nobody can say that of one on another machine."""
    here = (owner.get("host"), owner.get("namespace")) == (host_name(), pid_namespace())
    return here and is_alive(owner["pid"], owner.get("started")) is False


def _held(path: Path, owner: dict[str, Any], doing: str) -> Held:
    who = f"process {owner['pid']} on {owner.get('host')}" if owner else "another process"
    hint = "" if path.suffix != ".owner" else f"; if that is long dead, remove {path}"
    return Held(f"{path.parent}: {who} is {doing}; stop it first, or wait until it ends{hint}")
