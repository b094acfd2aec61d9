"""Readings of a run's process on this machine, from /proc: without the process's help, and without any of its time."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nanochat_framework.machine.cpu import ROOT, busy_seconds
from nanochat_framework.machine.memory import memory

MOST_PROCESSES = 1000
"""So many descendants of a training are looked at, at most."""


@dataclass(frozen=True)
class _Counters:
    """What only rises: `at` (the monotonic clock) and CPU times in seconds, `written` and `read` in bytes."""

    at: float
    own: float
    machine: float | None
    written: int | None
    read: int | None


class LiveReader:
    """Reads a process and its machine again and again; rates are since the reading before."""

    def __init__(self, pid: int, folder: Path, root: Path = ROOT) -> None:
        """`folder`: the run's, whose disk is meant; `root`: where the file system of the machine begins."""
        self.pid, self._folder, self._root = pid, folder, root
        self._before: _Counters | None = None

    def read(self) -> dict[str, float] | None:
        """Readings by name, as in the metrics without `system/` and further ones; None where the process cannot be seen.

        Rates are there from the second reading on.
        """
        pids = list(self._family())
        own = _status(self._root, self.pid)
        if own is None:
            return None
        found = {
            "memory_resident_bytes": own.get("VmRSS", 0) * 1024.0,
            "threads": float(sum((_status(self._root, pid) or {}).get("Threads", 0) for pid in pids)),
            "processes": float(len(pids)),
            "machine_cores": float(os.cpu_count() or 1),
        }
        machine = memory(self._root)
        found |= {"memory_total_bytes": float(machine.total), "memory_available_bytes": float(machine.available)}
        if machine.limit is not None:
            found["memory_limit_bytes"] = float(machine.limit)
        with contextlib.suppress(OSError):
            disk = shutil.disk_usage(self._folder)
            found |= {"disk_free_bytes": float(disk.free), "disk_total_bytes": float(disk.used + disk.free)}
        return found | self._rates(pids)

    def _rates(self, pids: list[int]) -> dict[str, float]:
        moved = [_moved(self._root, pid) for pid in pids]
        known = [each for each in moved if each is not None]
        now = _Counters(
            time.monotonic(),
            sum(_cpu_seconds(self._root, pid) for pid in pids),
            busy_seconds(self._root),
            sum(written for written, _ in known) if known else None,
            sum(read for _, read in known) if known else None,
        )
        before, self._before = self._before, now
        if before is None or now.at <= before.at:
            return {}
        pairs = {
            "cpu_cores": (before.own, now.own),
            "machine_cpu_cores": (before.machine, now.machine),
            "written_bytes_per_second": (before.written, now.written),
            "read_bytes_per_second": (before.read, now.read),
        }
        return {  # less than before: a process of the family ended
            name: max(late - early, 0.0) / (now.at - before.at)
            for name, (early, late) in pairs.items()
            if early is not None and late is not None
        }

    def _family(self) -> Iterator[int]:
        """The process and those it started, as far as they are there."""
        waiting, seen = [self.pid], {self.pid}
        while waiting and len(seen) <= MOST_PROCESSES:
            pid = waiting.pop()
            yield pid
            for child in _children(self._root, pid):
                if child not in seen:
                    seen.add(child)
                    waiting.append(child)


def _children(root: Path, pid: int) -> list[int]:
    """Of all threads of a process; none where the kernel does not list them."""
    found: list[int] = []
    with contextlib.suppress(OSError, ValueError):
        for thread in os.listdir(root / f"proc/{pid}/task"):
            with contextlib.suppress(OSError):
                found += map(int, (root / f"proc/{pid}/task/{thread}/children").read_text().split())
    return found


def _status(root: Path, pid: int) -> dict[str, int] | None:
    """The numbers of /proc/PID/status; sizes in KiB."""
    try:
        text = (root / f"proc/{pid}/status").read_text(errors="replace")
    except OSError:
        return None
    pairs = (line.partition(":") for line in text.splitlines())
    words = ((name, rest.split()) for name, _, rest in pairs)
    return {name: int(rest[0]) for name, rest in words if rest and rest[0].isdigit()}


def _cpu_seconds(root: Path, pid: int) -> float:
    """User and system time, that of children that ended included: fields 14 to 17 of /proc/PID/stat."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        fields = (root / f"proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def _moved(root: Path, pid: int) -> tuple[int, int] | None:
    """Bytes written to and read from disks; None where /proc/PID/io is not ours to read."""
    with contextlib.suppress(OSError, ValueError):
        pairs = dict(line.split(": ") for line in (root / f"proc/{pid}/io").read_text().splitlines())
        return int(pairs.get("write_bytes", 0)), int(pairs.get("read_bytes", 0))
    return None
