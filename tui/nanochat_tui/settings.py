"""What a person set for all dashboards: `tui.toml` in the folder of settings, with keys by action and a theme."""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nanochat_framework.machine.folders import config_folder
from nanochat_tui import keymap, themes


@dataclass
class Settings:
    """`keys` by the names of actions; `notes` tell, a line each, what of the file will not do and is passed over."""

    theme: str = ""
    keys: dict[str, tuple[str, ...]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def settings_file() -> Path:
    """Where it is read from; it need not exist."""
    return config_folder() / "tui.toml"


def read_settings(path: Path) -> Settings:
    """The file's settings; none where there is no file. Never raises: what is wrong is among the notes."""
    found = Settings()
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return found
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
        return Settings(notes=[f"{path}: cannot be read ({reason})"])
    for name, value in data.items():
        if name == "keys" and isinstance(value, dict):
            found.keys, notes = keymap.checked(value)
            found.notes += notes
        elif name == "theme":
            found.theme, note = _theme(value)
            found.notes += note
        else:
            found.notes.append(f"{name}: not known here; there are theme = ... and [keys]")
    found.notes = [f"{path}: {note}" for note in found.notes]
    return found


def _theme(value: Any) -> tuple[str, list[str]]:
    """A theme's name, or none and what is wrong with it."""
    if value in themes.names():
        return str(value), []
    near = difflib.get_close_matches(str(value), themes.names(), 1)
    return "", [f"theme {value!r}: there is none{f'; {near[0]}?' if near else ''} ({', '.join(themes.names())})"]
