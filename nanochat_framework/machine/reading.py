"""Reading a file that a person named, which may be something else."""

from __future__ import annotations

import stat
from pathlib import Path

from nanochat_framework.errors import UsageError


def read_named(path: Path) -> bytes:
    """All that a file holds, or that comes through a pipe (`/dev/stdin`, `<(...)`).

    Raises OSError, and UsageError for a device: some of them never end.
    """
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode) or stat.S_ISDIR(mode)):  # a folder is told about by its OSError
        raise UsageError(f"{path}: is a device, not a file")
    return path.read_bytes()
