"""A run that goes on from a checkpoint of another with changed settings: its form, checked by the command itself."""

from __future__ import annotations

import shlex

from nanochat_framework.errors import UsageError
from nanochat_framework.runs.checkpoint_store import CheckpointStore
from nanochat_framework.runs.checkpoints import FURTHER_NAMES
from nanochat_framework.runs.directory import RunDirectory
from nanochat_tui.base_screen import DashboardScreen
from nanochat_tui.commands import ask
from nanochat_tui.forms import Field, Form, Values

WHEN = ("at once", "when the others have ended")
"""When a fork begins: at once, or after the runs that are on this machine now."""


class ForkForm(Form):
    """Checkpoint, settings, name and when it begins. What the command finds wrong is shown before anything is made."""

    def __init__(self, run: RunDirectory, names: tuple[str, ...], chosen: str) -> None:
        self.run = run
        fields = [
            Field("from", "The checkpoint to go on from", chosen, names),
            Field(
                "settings",
                "KEY=VALUE ... as in `nanochat train --set`, e.g. train.steps=4000 optimizer.0.lr=0.01; all else is as it was",
                shown="as it was",
            ),
            Field("name", "Of the new run; empty: the date and the old one", shown=f"date and {run.name}"),
            Field("begins", "At once, or as the last of the runs that are on this machine now", WHEN[0], WHEN),
        ]
        super().__init__(f"A run that goes on from {run.name}", fields, does="start", check=self._checked)

    async def _checked(self, values: Values) -> None:
        await ask(*self.arguments(values), "--check")

    def arguments(self, values: Values) -> list[str]:
        """The command's. Raises UsageError for settings that are no words."""
        try:
            settings = shlex.split(values["settings"])
        except ValueError as error:
            raise UsageError(f"settings: {error}") from None
        found = ["runs", "fork", str(self.run.path), "--runs-dir", str(self.run.path.parent), "--from", values["from"]]
        found += [word for setting in settings for word in ("--set", setting)]
        found += ["--run", values["name"]] if values["name"] else []
        return [*found, *(["--queue"] if values["begins"] == WHEN[1] else [])]


def open_fork(screen: DashboardScreen, run: RunDirectory, checkpoint: str | None = None) -> None:
    """Ask for the settings and start it, in a session of its own."""
    store = CheckpointStore(run.checkpoints)
    try:
        names = [folder.name for _, folder in reversed(store.steps())]
        names += [name for name in FURTHER_NAMES if store.path(name).is_dir()]
    except OSError as error:
        screen.notify(f"{error.filename}: {error.strerror}", severity="error", markup=False)
        return
    if not names:
        screen.notify(f"{run.name} has no checkpoint to go on from", severity="error", markup=False)
        return
    form = ForkForm(run, tuple(names), checkpoint or names[0])

    def answered(values: Values | None) -> None:
        if values is not None:
            screen.dashboard.requests.start(f"fork {run.name}", [*form.arguments(values), "--detach"])

    screen.app.push_screen(form, answered)
