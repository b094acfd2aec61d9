"""Where nanochat keeps what is not part of a run."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """`nanochat` in the user's cache folder (`XDG_CACHE_HOME`, else ~/.cache); it need not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nanochat"


def config_folder() -> Path:
    """`nanochat` in the user's folder of settings (`XDG_CONFIG_HOME`, else ~/.config); it need not exist."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "nanochat"


def state_folder() -> Path:
    """`nanochat` in the user's folder of what programs remember (`XDG_STATE_HOME`, else ~/.local/state); likewise."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "nanochat"
