"""How much memory a training may take."""

from __future__ import annotations

import os
import subprocess
import sys

from nanochat_framework.training.out_of_memory import memory_of


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
