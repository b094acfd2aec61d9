"""This process's own memory."""

from __future__ import annotations

import mmap
from pathlib import Path

import pytest

from nanochat_framework.training.process_memory import forget_peak, peak_bytes, resident_bytes

SIZE = 100_000_000


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak counts anew only on Linux")
def test_peak_counts_from_where_it_was_forgotten() -> None:
    forget_peak()
    idle = resident_bytes()
    assert peak_bytes() - idle < SIZE / 2
    block = mmap.mmap(-1, SIZE)  # pages of its own, whatever the heap has to spare
    for page in range(0, SIZE, mmap.PAGESIZE):
        block[page] = 1
    assert resident_bytes() - idle > 0.9 * SIZE
    block.close()
    assert peak_bytes() - idle > 0.9 * SIZE
    assert resident_bytes() - idle < SIZE / 2
    forget_peak()
    assert peak_bytes() - idle < SIZE / 2


def test_without_proc_the_system_says_the_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nanochat_framework.training.process_memory._STATUS", Path("/nowhere"))
    assert resident_bytes() == peak_bytes() > 50e6
