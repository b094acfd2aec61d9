"""How much memory there is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nanochat_framework.training import out_of_memory
from nanochat_framework.training.out_of_memory import memory_of


def test_a_containers_limit_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    monkeypatch.setattr(out_of_memory, "_container_limit", lambda: None)
    free = memory_of("cpu")
    assert free is not None and free <= physical
    monkeypatch.setattr(out_of_memory, "_container_limit", lambda: free // 2)
    assert memory_of("cpu") == free // 2
    assert memory_of("mps") is None


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("memory.max", "2147483648\n", 2**31),
        ("memory.max", "max\n", None),
        ("memory/memory.limit_in_bytes", "1073741824\n", 2**30),
    ],
)
def test_control_groups_of_both_versions_are_read(tmp_path: Path, file: str, text: str, expected: int | None) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(text)
    assert out_of_memory._container_limit(tmp_path) == expected
