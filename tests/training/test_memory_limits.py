"""How much memory a training may take."""

from __future__ import annotations

import os
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from nanochat_framework.training.out_of_memory import as_many, memory_of


@given(rows=st.integers(1, 10_000), most=st.integers(0, 10_000))
def test_what_is_advised_makes_the_same_step_where_it_can(rows: int, most: int) -> None:
    size, count = as_many(rows, most)
    if most == 0:
        assert (size, count) == (0, 0)
        return
    assert 1 <= size <= most and size * (count - 1) < rows <= size * count
    near = [d for d in range(-(-most // 2), most + 1) if rows % d == 0]
    assert (size * count == rows and size == max(near)) if near else 2 * size >= most


def test_sixty_four_rows_of_which_twenty_three_fit() -> None:
    assert as_many(64, 23) == (16, 4)
    assert as_many(67, 23) == (23, 3)


def test_memory_of_this_machine() -> None:
    free = memory_of("cpu")
    assert free is not None and 0 < free <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert memory_of("mps") is None


def test_a_limit_on_the_process_counts() -> None:
    script = (
        "from nanochat_framework.training.out_of_memory import memory_of\nimport resource\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2 * 10**9, 2 * 10**9))\nprint(memory_of('cpu'))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "2000000000\n"
