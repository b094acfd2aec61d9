"""Where nanochat keeps what is not part of a run."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """`nanochat` in the user's cache folder (`XDG_CACHE_HOME`, else ~/.cache); it need not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nanochat"
