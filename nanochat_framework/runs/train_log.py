"""train.log: what a training says, a line each; whether or not somebody sits at its terminal."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time
from pathlib import Path

from nanochat_framework.runs.process import host_name


class TrainLog(io.TextIOBase):
    """A text stream that appends to train.log; where the log cannot be written, text is dropped: training goes on.

    If stderr goes to the same file already, as of a detached training, it writes nothing, so that no line is there twice.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor: int | None = None
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            if _is_stderr(descriptor):
                os.close(descriptor)
            else:
                self._descriptor = descriptor

    @property
    def twin_of_stderr(self) -> bool:
        """Whether whatever is printed to stderr is in the file without our help, or the file cannot be written."""
        return self._descriptor is None

    def write(self, text: str, /) -> int:
        """Append text."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.write(self._descriptor, text.encode("utf-8", "backslashreplace"))
        return len(text)

    def line(self, text: str) -> None:
        """Append a line."""
        self.write(f"{text}\n")

    def begin(self, attempt: int) -> None:
        """Say that an attempt begins, when and where."""
        clock = time.strftime("%Y-%m-%d %H:%M:%S")
        self.line(f"--- attempt {attempt}: {clock}, process {os.getpid()} on {host_name()}")

    def close(self) -> None:
        """Close the file; may be called twice."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        super().close()


def _is_stderr(descriptor: int) -> bool:
    """Whether a file is the one that stderr goes to."""
    try:
        return os.path.sameopenfile(descriptor, sys.__stderr__.fileno()) if sys.__stderr__ else False
    except (OSError, ValueError):
        return False
