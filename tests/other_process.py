"""A second Python process that has something in its hands while a test looks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def doing(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A process that runs `code`, from when it prints its first line until the block ends; then it is killed."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline(), "it ended without a word"
        yield process
    finally:
        process.kill()
        process.communicate()
