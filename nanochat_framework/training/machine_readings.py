"""Readings of the machine: this process, its memory, the disk, and the GPUs and energy counters where there are any.

What a system does not tell is left out. Names are those of `runs.metrics`; a GPU's end in its number.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from nanochat_framework.machine.cpu import busy_seconds
from nanochat_framework.machine.memory import memory
from nanochat_framework.training.gpus import Gpus
from nanochat_framework.training.process_memory import resident_bytes

_POWERCAP = Path("/sys/class/powercap")
_PROC = Path("/proc")


class MachineReader:
    """Reads everything at once; takes well under a millisecond without GPUs. For one thread at a time."""

    def __init__(self, disk: Path, gpus: Gpus | None) -> None:
        self._disk, self._gpus = disk, gpus
        self._before = self._times()
        self._counters = [EnergyCounters.find(_POWERCAP).joules, *([] if gpus is None else [gpus.joules])]
        self._counted = [counter() for counter in self._counters]
        """What each counter stood at when it could last be read; None where that was never."""
        self.energy_joules = 0.0

    def read(self) -> dict[str, float]:
        """Readings by metric name; rates are since the reading before."""
        found = {"system/memory_resident_bytes": float(resident_bytes())}
        now = self._times()
        seconds = max(now[0] - self._before[0], 1e-6)
        found["system/cpu_cores"] = (now[1] - self._before[1]) / seconds
        if now[2] is not None and self._before[2] is not None:
            found["system/machine_cpu_cores"] = (now[2] - self._before[2]) / seconds
        self._before = now
        if (_PROC / "meminfo").exists():
            found["system/memory_available_bytes"] = float(memory().available)
        with contextlib.suppress(OSError):
            found["system/disk_free_bytes"] = float(shutil.disk_usage(self._disk).free)
        if self._gpus is not None:
            found |= self._gpus.read()
        for number, counter in enumerate(self._counters):
            joules, before = counter(), self._counted[number]
            if joules is not None:
                self.energy_joules += 0.0 if before is None else max(joules - before, 0.0)
                self._counted[number] = joules
        if any(joules is not None for joules in self._counted):
            found["system/energy_joules"] = self.energy_joules
        return found

    def _times(self) -> tuple[float, float, float | None]:
        """The clock, this process's CPU seconds (its children's included), and all processes' where the system says."""
        own = os.times()
        return time.monotonic(), own.user + own.system + own.children_user + own.children_system, busy_seconds()


class EnergyCounters:
    """RAPL counters of CPU packages (Linux; often readable by root only). They wrap around at their range."""

    def __init__(self, files: Sequence[tuple[Path, int]]) -> None:
        """`files`: counter and range in microjoules."""
        self._files = files
        self._last = [_whole_number(file) or 0 for file, _ in files]
        self._total = 0

    @classmethod
    def find(cls, powercap: Path) -> EnergyCounters:
        """The packages whose counters can be read."""
        files = []
        for zone in sorted(powercap.glob("intel-rapl:*")) if powercap.is_dir() else []:
            if zone.name.count(":") == 1 and _whole_number(zone / "energy_uj") is not None:
                files.append((zone / "energy_uj", _whole_number(zone / "max_energy_range_uj") or 2**32))
        return cls(files)

    def joules(self) -> float | None:
        """Used since this object was made; None where there is no counter."""
        if not self._files:
            return None
        for number, (file, span) in enumerate(self._files):
            value = _whole_number(file)
            if value is not None:
                self._total += (value - self._last[number]) % (span + 1)
                self._last[number] = value
        return self._total / 1e6


def _whole_number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
