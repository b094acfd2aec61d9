"""The resident memory of this process, in bytes: what is in use now and what was at most."""

from __future__ import annotations

import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def resident_bytes() -> int:
    """Now. Without /proc (macOS) the most that there has been: a baseline is then taken before anything large."""
    return _field("VmRSS") if _STATUS.exists() else _high_water()


def peak_bytes() -> int:
    """At most, since the process began or `forget_peak` was called."""
    return _field("VmHWM") if _STATUS.exists() else _high_water()


def forget_peak() -> None:
    """Count the peak from now on, where the system can (Linux, proc_pid_clear_refs(5): writing 5)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _field(name: str) -> int:
    """A line of /proc/self/status, which has KiB."""
    return 1024 * int(_STATUS.read_text().partition(f"{name}:")[2].split()[0])


def _high_water() -> int:
    """getrusage(2): KiB on Linux and the BSDs, bytes on macOS."""
    import resource

    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else 1024 * largest
