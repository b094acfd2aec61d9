"""Writing files so that a reader, or a crash, never sees half of one; and telling a full disk from other failures."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nanochat_framework.errors import NanochatError, UsageError

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_OS_ERROR_IN_TEXT = re.compile(r"\(os error (\d+)\)|\bcode: (\d+)")


class DiskFull(NanochatError):
    """Something did not fit: a full disk, a quota, a limit of file size. What was there before is untouched."""


def disk_full_reason(error: BaseException | None) -> str | None:
    """What the system calls it if an error, or one that it was raised from, means that there is no room; else None.

    Libraries written in Rust (safetensors) wrap the system's error in text as `(os error 28)`, and callers may have
    wrapped that again, so the chain of causes and their words are looked at too.
    """
    return next((os.strerror(number).lower() for number in _system_errors(error) if number in _NO_SPACE), None)


def system_reason(error: BaseException | None) -> str | None:
    """What the system calls what went wrong with a file, if an error, or one that it was raised from, tells; else None."""
    return next((os.strerror(number).lower() for number in _system_errors(error)), None)


def _system_errors(error: BaseException | None) -> Iterator[int]:
    """The system's error numbers in a chain of causes."""
    while error is not None:
        found = _OS_ERROR_IN_TEXT.search(str(error))
        if isinstance(error, OSError) and error.errno is not None:
            yield error.errno
        if found:
            yield int(found.group(1) or found.group(2))
        error = error.__cause__ if error.__suppress_context__ else error.__context__


def write_atomic(path: Path, data: bytes, *, sync: bool = True) -> None:
    """Write to a temporary name in the same folder, sync, rename, sync the folder.

    `sync = False` leaves out the syncs: readers and `kill -9` still never see half a file, a power cut may.
    Raises DiskFull or OSError, UsageError where a device or a pipe has the name; what was there before is then as it was.
    """
    refuse_device(path)
    temporary = path.with_name(f".tmp-{path.name}-{os.getpid()}-{threading.get_ident()}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        reason = disk_full_reason(error)
        if reason:
            raise DiskFull(f"{path}: cannot be written: {reason}") from error
        raise
    if sync:
        sync_folder(path.parent)


def refuse_device(path: Path) -> None:
    """Raise UsageError where a rename would put a file in the place of a device, a pipe or a socket.

    So for a link to one, and for `/dev/stdout`, whatever it leads to: the rename would take the link itself.
    """
    try:
        mode = os.stat(path).st_mode
        leads_to_descriptor = os.path.islink(path) and os.readlink(path).startswith("/proc/")
    except OSError:  # nothing there, or what the writing itself will tell about
        return
    if leads_to_descriptor or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise UsageError(f"{path}: is a device or pipe, no file; name a file")


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A name in the same folder to write a file to; when the block has ended the file is durable, and is `path`.

    Raises UsageError where a file cannot be written there, DiskFull, and whatever the block raises; what was there before is
    then as it was.
    """
    if os.path.isdir(path):  # False, not an error, for a name that is too long: the writing tells
        raise UsageError(f"{path}: is a directory; give a file name")
    with _appearing(path) as temporary:
        yield temporary
        sync_file(temporary)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to put files into; when the block has ended they are durable, and the folder is `path`.

    Raises UsageError where there is a file, a folder with something in it, or no way to write, DiskFull, and whatever the
    block raises; nothing is left behind then.
    """
    if os.path.isdir(path) and any(path.iterdir()):
        raise UsageError(f"{path}: is a folder with files in it; name a new one, or remove it")
    if os.path.exists(path) and not os.path.isdir(path):
        raise UsageError(f"{path}: is a file; name a folder")
    with _appearing(path) as temporary:
        temporary.mkdir()
        yield temporary
        for file in temporary.iterdir():
            sync_file(file)
        sync_folder(temporary)


@contextmanager
def _appearing(path: Path) -> Iterator[Path]:
    """A name beside `path` that becomes it. Raises UsageError or DiskFull for what the system says no to."""
    folder = path.absolute().parent
    if not os.path.isdir(folder):
        raise UsageError(f"{path}: the folder {path.parent} does not exist")
    refuse_device(path)
    temporary = folder / f".tmp-{path.absolute().name}-{os.getpid()}"
    try:
        yield temporary
        os.replace(temporary, path)
        sync_folder(folder)
    except Exception as error:
        reason = system_reason(error) or (str(error) if isinstance(error, OSError) else None)
        if reason is None or isinstance(error, NanochatError):
            raise
        if disk_full_reason(error) is not None:
            raise DiskFull(f"{path}: cannot be written: {reason}") from error
        raise UsageError(f"{path}: cannot be written ({reason})") from None
    finally:
        if os.path.isdir(temporary):
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):  # the error that is on its way tells more
                temporary.unlink(missing_ok=True)


def sync_folder(path: Path) -> None:
    """Make renames in a folder durable; does nothing where folders cannot be opened."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make a file's content durable. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
