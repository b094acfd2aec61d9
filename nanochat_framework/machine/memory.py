"""Main memory: what the machine has, what is free, and what this process may take of it."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from nanochat_framework.machine.cpu import ROOT, control_groups

_UNLIMITED = 2**60
"""Control groups of version 1 write a number near 2⁶³ for "no limit"."""


@dataclass(frozen=True)
class Memory:
    """Bytes. `limit` is the tightest limit on this process (None: the machine's own size) and `limited_by` who sets it."""

    total: int
    available: int
    limit: int | None = None
    limited_by: str = ""


def memory(root: Path = ROOT) -> Memory:
    """What is there. Where the system does not tell (not Linux), `available` is the total."""
    total, available = _of_the_machine(root)
    limits = [*_of_control_groups(root), *_of_the_process()]
    limit, by, used = min(limits, default=(None, "", 0), key=lambda each: each[0] or 0)
    if limit is None or limit >= total:
        return Memory(total, available)
    return Memory(total, max(0, min(available, limit - used)), limit, by)


def _of_the_machine(root: Path) -> tuple[int, int]:
    try:
        fields = dict(line.split(":", 1) for line in (root / "proc/meminfo").read_text().splitlines())
        return 1024 * int(fields["MemTotal"].split()[0]), 1024 * int(fields["MemAvailable"].split()[0])
    except (OSError, KeyError, ValueError):
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0
        return pages, pages


def _of_control_groups(root: Path) -> list[tuple[int, str, int]]:
    """Limit, who sets it, and what is used already, of each group that has one."""
    found = []
    for folder in control_groups("memory", root):
        for limit, usage in (
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            with contextlib.suppress(OSError, ValueError):  # ValueError: "max"
                allowed = int((folder / limit).read_text())
                if allowed < _UNLIMITED:
                    found.append((allowed, f"the control group's {limit}", _in_use(folder, usage)))
    return found


def _in_use(folder: Path, usage: str) -> int:
    """Bytes that cannot be given back: what is used, less the files that are only cached."""
    used = int((folder / usage).read_text())
    with contextlib.suppress(OSError, ValueError):
        for line in (folder / "memory.stat").read_text().splitlines():
            name, _, value = line.partition(" ")
            if name in ("inactive_file", "total_inactive_file"):
                return max(0, used - int(value))
    return used


def _of_the_process() -> list[tuple[int, str, int]]:
    try:
        import resource
    except ImportError:  # Windows
        return []
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return [] if soft == resource.RLIM_INFINITY else [(soft, "ulimit -v", 0)]
