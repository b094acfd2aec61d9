"""Where nanochat keeps what is not part of a run."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """`nanochat` in the user's cache folder (`XDG_CACHE_HOME`, else ~/.cache); it need not exist."""
    return _folder("XDG_CACHE_HOME", ".cache")


def config_folder() -> Path:
    """`nanochat` in the user's folder of settings (`XDG_CONFIG_HOME`, else ~/.config); it need not exist."""
    return _folder("XDG_CONFIG_HOME", ".config")


def state_folder() -> Path:
    """`nanochat` in the user's folder of what programs remember (`XDG_STATE_HOME`, else ~/.local/state); likewise."""
    return _folder("XDG_STATE_HOME", ".local/state")


def _folder(variable: str, usual: str) -> Path:
    """A relative path is ignored, as the XDG Base Directory Specification asks: it would mean another folder in each."""
    named = Path(os.environ.get(variable, ""))
    return (named if named.is_absolute() else Path.home() / usual) / "nanochat"
