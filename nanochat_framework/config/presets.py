"""Presets by name: `nano-125m` is `configs/models/nano_125m.toml`, in a checkout and in an installed wheel alike."""

from __future__ import annotations

import difflib
from functools import cache
from pathlib import Path

from nanochat_framework.errors import UsageError

_PACKAGE = Path(__file__).resolve().parent.parent


@cache
def presets_dir() -> Path:
    """Where the presets are: inside the installed package, or `configs/models` of the checkout."""
    installed = _PACKAGE / "presets"
    return installed if installed.is_dir() else _PACKAGE.parent / "configs" / "models"


def preset_names() -> list[str]:
    """Names of all presets, with hyphens."""
    return sorted(path.stem.replace("_", "-") for path in presets_dir().glob("*.toml"))


def find_config(target: str | Path) -> Path:
    """The file of a path or a preset's name. Raises UsageError with near names."""
    path = Path(target)
    if path.exists():
        return path
    name = str(target).replace("_", "-").removesuffix(".toml")
    preset = presets_dir() / f"{name.replace('-', '_')}.toml"
    if "/" not in name and preset.is_file():
        return preset
    names = preset_names()
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise UsageError(f"{target}: no such file, and no preset of that name{hint} Presets: {', '.join(names)}")
