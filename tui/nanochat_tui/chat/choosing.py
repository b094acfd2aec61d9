"""Asking a person which model it is to be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from textual.app import App

from nanochat_framework.runs.directory import RunDirectory
from nanochat_tui.chat.models import checkpoints, existing
from nanochat_tui.dialogs import Pick, Prompt
from nanochat_tui.keys import hint

OTHER = ("another…", "the path of a checkpoint or a model file")


def choose_model(app: App[Any], run: RunDirectory | None, chosen: Callable[[Path], None]) -> None:
    """Ask for a checkpoint of the run, the newest first, or for a path; `chosen` gets it unless the person gives up."""

    def typed(text: str | None) -> None:
        if text is not None:
            chosen(existing(text))

    def ask_path() -> None:
        hint = "e.g. first.gguf, or runs/first/checkpoints/step_00000500"
        app.push_screen(Prompt("Path of a model", hint, check=existing), typed)

    found: list[tuple[str, str, Path]] = []
    if run is not None:
        try:
            found = checkpoints(run)
            why = "" if found else f"{run.name} has no checkpoint yet; {hint('checkpoint')} asks for one"
        except OSError as error:
            why = f"{error.filename}: {error.strerror}"
        if why:
            app.notify(why, markup=False)
    if run is None or not found:
        ask_path()
        return

    def picked(place: int | None) -> None:
        if place == len(found):
            ask_path()
        elif place is not None:
            chosen(found[place][2])

    lines = [*((name, about) for name, about, _ in found), OTHER]
    app.push_screen(Pick(f"Which model of {run.name}?", lines), picked)
