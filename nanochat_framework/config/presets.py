"""Configurations by name: `nano-125m` is `configs/models/nano_125m.toml`, in a checkout and in an installed wheel alike.

The path of a run's folder means what that run was frozen with, `config.resolved.json` in it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from nanochat_framework.errors import UsageError

FROZEN = "config.resolved.json"
"""The file that a run's folder has its configuration in, with every default filled in."""
_PACKAGE = Path(__file__).resolve().parent.parent


@cache
def presets_dir() -> Path:
    """Where the presets are: inside the installed package, or `configs/models` of the checkout.

    In a checkout `presets` is a link; where links are not to be had (a Windows checkout), it is no folder.
    """
    installed = _PACKAGE / "presets"
    return (installed if installed.is_dir() else _PACKAGE.parent / "configs" / "models").resolve()


def preset_names() -> list[str]:
    """Names of all presets, with hyphens."""
    return sorted(path.stem.replace("_", "-") for path in presets_dir().glob("*.toml"))


def find_config(target: str | Path, folder: Path | None = None) -> Path:
    """The file of a path, a run's folder or a preset's name; a folder with a preset's name that is no run hides no preset.

    A relative path counts from `folder`, the working directory if that is not given. Raises UsageError with near names.
    """
    path = _path(target, folder)
    if _is_file(path):
        return path
    if _is_file(path / FROZEN):
        return path / FROZEN
    name = _as_name(target)
    if name in preset_names():
        return _short(presets_dir() / f"{name.replace('-', '_')}.toml")
    if path.is_dir():
        raise UsageError(f"{path}: is a folder, not a TOML file")
    import difflib

    names = preset_names()
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    raise UsageError(f"{path}: no such file, and no preset of that name{hint} Presets: {', '.join(names)}")


def preset_name(target: str | Path, folder: Path | None = None) -> str | None:
    """The name of the preset that `find_config` takes this for, None where it is a file's path."""
    path = _path(target, folder)
    return None if _is_file(path) or _is_file(path / FROZEN) else _as_name(target)


def _path(target: str | Path, folder: Path | None) -> Path:
    return Path(target) if folder is None else folder / target


def _as_name(target: str | Path) -> str:
    return str(target).removesuffix(".toml").replace("_", "-")


def _is_file(path: Path) -> bool:
    """Raises UsageError for what is no path at all."""
    try:
        if "\0" in str(path):
            raise ValueError("it has a NUL in it")
        return path.exists() and not path.is_dir()
    except (OSError, ValueError) as error:  # a name too long for the system
        raise UsageError(f"{str(path)[:60]!r}: not a usable path ({error})") from None


def _short(path: Path) -> Path:
    """The path from here if it is below here, for messages."""
    try:
        return path.relative_to(Path.cwd())
    except (OSError, ValueError):  # the folder we stand in is gone; the file is elsewhere
        return path
