"""Telling a living process from a dead one, and from a stranger that was given its pid."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path


def host_name() -> str:
    """This machine's name."""
    try:
        return os.uname().nodename
    except AttributeError:  # Windows
        import socket

        return socket.gethostname()


def pid_namespace() -> str | None:
    """Which table of pids this process lives in (`pid:[4026531836]`); None where the system has just one.

    A container can share its host's name and not its pids, so a pid means something only together with this.
    """
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return None


@functools.cache
def boot_id() -> str | None:
    """Which machine since which boot this is; None where the system does not say. Names of hosts are not unique."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip() or None
    except OSError:
        return None


def start_time(pid: int) -> int | None:
    """When a process started, in clock ticks since boot (proc(5), field 22); None where the system does not say."""
    fields = _stat(pid)
    return int(fields[19]) if fields else None


def is_alive(pid: int, started: int | None) -> bool | None:
    """Whether the process with this pid and start time runs on this machine; None if the system cannot tell.

    Without a start time any process of that pid counts. One that has ended and was not yet reaped by its parent (a
    zombie) is dead.
    """
    if sys.platform == "win32":  # os.kill(pid, 0) would send it Ctrl-C there
        return None
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # somebody else's, so it exists
    fields = _stat(pid)
    if fields is None:
        return True
    return fields[0] not in ("Z", "X") and (started is None or int(fields[19]) == started)


def _stat(pid: int) -> list[str] | None:
    """`/proc/<pid>/stat` from field 3 on; the second field, a name in brackets, may hold anything."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()
