"""Asking runs for something: what both screens can do to the run that they show."""

from __future__ import annotations

import shlex
from typing import Any

from nanochat_framework.cli.options import read_options
from nanochat_framework.errors import NanochatError, UsageError
from nanochat_framework.runs.alias import set_alias
from nanochat_framework.runs.control import SETTABLE, checked_settings
from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.status import LIVE_STATES, listens, liveness, read_status
from nanochat_framework.runs.tags import change_tags, read_tags
from nanochat_tui.base_screen import DashboardScreen
from nanochat_tui.dialogs import Ask, Prompt
from nanochat_tui.keys import hint
from nanochat_tui.requests import Answer


class SteeringScreen(DashboardScreen):
    """A screen that has a run in hand."""

    def target(self) -> RunDirectory | None:
        """The run that a key is about; None: there is none."""
        return None

    def run_in_hand(self) -> RunDirectory | None:
        """The run that a key is about; where there is none, that is said."""
        run = self.target()
        if run is None:
            self.notify("there is no run under the cursor", severity="warning")
        return run

    def changed(self, result: str | None = None) -> None:
        """Something about the run may be different now."""

    def _ask(self, command: str, arguments: dict[str, Any] | None = None) -> None:
        run = self.run_in_hand()
        if run is None:
            return
        try:
            answer = self.dashboard.requests.ask(run, command, arguments)
        except NanochatError as error:
            answer = Answer(str(error), False)
        if answer is not None:
            self.tell(answer)
        self.changed()

    def action_pause(self) -> None:
        """Pause, or go on."""
        run = self.run_in_hand()
        if run is not None:
            self._ask("unpause" if liveness(read_status(run.status)) == "paused" else "pause")

    def action_checkpoint(self) -> None:
        """Write a checkpoint."""
        self._ask("checkpoint")

    def action_evaluate(self) -> None:
        """Evaluate."""
        self._ask("eval")

    def action_stop(self) -> None:
        """Checkpoint and end, after a yes."""
        run = self.run_in_hand()
        if run is None:
            return
        status = read_status(run.status)
        if not listens(status):
            self._ask("stop")
            return
        again = hint("resume")
        question = f"Take {run.name} out of the queue? {again} starts it."
        if liveness(status) != "queued":
            question = f"Stop {run.name} after the present step? It writes a checkpoint, and {again} goes on with it."
        self.app.push_screen(Ask(question), lambda yes: self._ask("stop") if yes else None)

    def action_settings(self) -> None:
        """Ask for KEY=VALUE pairs and set them."""
        run = self.run_in_hand()
        if run is None:
            return
        keys = "\n".join(f"{key:<17} {setting.summary}" for key, setting in SETTABLE.items())

        def read(text: str) -> dict[str, Any]:
            return dict(checked_settings(read_options(text.split(), what="set")))

        def answered(text: str | None) -> None:
            if text is not None:
                self._ask("set", read(text))

        prompt = Prompt(f"Set, in {run.name}: KEY=VALUE ...", keys, value="lr_scale=", check=read)
        self.app.push_screen(prompt, answered)

    def action_resume(self) -> None:
        """Go on with a run that ended."""
        run = self.run_in_hand()
        if run is None:
            return
        state, label = liveness(read_status(run.status)), f"resume {run.name}"
        if state in LIVE_STATES:
            self.tell(Answer(f"resume: {run.name} is {state}", False))
        elif self.dashboard.requests.starts(label):
            self.tell(Answer(f"{label}: it is under way", False))
        else:
            self.dashboard.requests.start(label, ["resume", str(run.path), "--detach"])
            self.changed()

    def action_command(self) -> None:
        """Ask for the arguments of `nanochat train` and start it."""
        runs_dir = self.dashboard.runs_screen.listing.runs_dir

        def words(text: str) -> list[str]:
            try:
                found = shlex.split(text)
            except ValueError as error:
                raise UsageError(f"{error}") from None
            if not found:
                raise UsageError("a configuration is missing: the name of a preset, or the path of a TOML file")
            return found

        def answered(text: str | None) -> None:
            if text is not None:
                given = words(text)
                self.dashboard.requests.start(
                    f"train {given[0]}", ["train", "--detach", "--runs-dir", str(runs_dir), *given]
                )
                self.changed()

        example = "e.g. tiny-cpu --run first --set train.steps=2000   (it goes on when the dashboard is closed)"
        self.app.push_screen(Prompt("nanochat train ...", example, check=words), answered)

    def action_chat(self) -> None:
        """Talk to a model: one of the run, or any."""
        run = self.target()
        from nanochat_tui.chat.choosing import choose_model

        choose_model(self.app, run, lambda path: self.dashboard.talk_to(path, run))

    def action_checkpoints(self) -> None:
        """Show the run's checkpoints."""
        run = self.run_in_hand()
        if run is not None:
            from nanochat_tui.checkpoints.screen import CheckpointsScreen

            self.app.push_screen(CheckpointsScreen(run))

    def action_fork(self) -> None:
        """A run that goes on from one of its checkpoints."""
        run = self.run_in_hand()
        if run is not None:
            from nanochat_tui.checkpoints.forking import open_fork

            open_fork(self, run)

    def action_alias(self) -> None:
        """Ask for another name."""
        run = self.run_in_hand()
        if run is None:
            return
        prompt = Prompt(
            f"Another name for {run.name}",
            "every command finds the run by it; empty: none",
            value=run.alias or "",
            check=lambda text: set_alias(run, text.strip() or None),
        )
        self.app.push_screen(prompt, self.changed)

    def action_tag(self) -> None:
        """Ask for tags to add and to remove."""
        run = self.run_in_hand()
        if run is None:
            return

        def change(text: str) -> None:
            words = text.split()
            change_tags(run, [w for w in words if not w.startswith("-")], [w[1:] for w in words if w.startswith("-")])

        tags = " ".join(read_tags(run)) or "none"
        prompt = Prompt(f"Tags of {run.name}: {tags}", "good -bad   adds good and removes bad", check=change)
        self.app.push_screen(prompt, self.changed)
