"""The CPU: its instruction sets, and the cores that this process may really use."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path("/")
MOST_THREADS = 4096
"""More than any machine has cores; beyond it an operating system makes no threads, and torch takes no such number."""


@cache
def cpu_flags() -> frozenset[str]:
    """Instruction sets of this machine's CPU as Linux names them (`avx512_vnni`); empty on other systems."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("flags"):
                return frozenset(line.partition(":")[2].split())
    except OSError:
        pass
    return frozenset()


def usable_cores(root: Path = ROOT) -> int:
    """Cores that this process may use: those of the machine, less what its affinity and its container's quota take away.

    Args:
        root: where the file system of the machine begins.
    """
    present = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota(root)
    return present if quota is None else max(1, min(present, math.ceil(quota)))


def cpu_quota(root: Path = ROOT) -> float | None:
    """Cores' worth of time that the control groups of this process allow (versions 1 and 2); None without a limit."""
    quotas = []
    for folder in control_groups("cpu", root):
        with contextlib.suppress(OSError, ValueError, IndexError):
            if (folder / "cpu.max").exists():  # version 2: "max 100000" or "150000 100000"
                allowed, period = (folder / "cpu.max").read_text().split()[:2]
            else:
                allowed = (folder / "cpu.cfs_quota_us").read_text()
                period = (folder / "cpu.cfs_period_us").read_text()
            if allowed.strip() not in ("max", "-1"):
                quotas.append(int(allowed) / int(period))
    return min(quotas, default=None)


def control_groups(controller: str, root: Path = ROOT) -> Iterator[Path]:
    """The folders of this process's control groups for a controller, its own first, then those around it.

    Inside a container the paths of /proc/self/cgroup may be the host's; folders that are not there are left out, and the
    mount point itself, which is the container's own group, always comes last.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number == "0" and not controllers:
            mount = root / "sys/fs/cgroup"
        elif controller in controllers.split(","):
            mount = root / "sys/fs/cgroup" / controllers
            mount = mount if mount.is_dir() else root / "sys/fs/cgroup" / controller
        else:
            continue
        folder = mount / path.lstrip("/")
        for candidate in (folder, *folder.parents):
            if candidate.is_dir() and candidate.is_relative_to(mount):
                yield candidate


def busy_seconds(root: Path = ROOT) -> float | None:
    """CPU seconds of all processes since boot; None where the system does not say.

    User, nice, system, irq, softirq and steal of the first line of /proc/stat, proc(5).
    """
    with contextlib.suppress(OSError, ValueError, IndexError, AttributeError):
        fields = [int(field) for field in (root / "proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")
    return None
