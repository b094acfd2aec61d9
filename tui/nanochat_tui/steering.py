"""Asking runs for something: what both screens can do to the run that they show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.screen import Screen

from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.tags import change_tags, read_tags
from nanochat_tui.dialogs import Help, Prompt
from nanochat_tui.keys import help_text

if TYPE_CHECKING:
    from nanochat_tui.app import Dashboard


class SteeringScreen(Screen[None]):
    """A screen that has a run in hand."""

    where = ""

    @property
    def dashboard(self) -> Dashboard:
        """The app."""
        from nanochat_tui.app import Dashboard

        assert isinstance(self.app, Dashboard)
        return self.app

    def target(self) -> RunDirectory | None:
        """The run that a key is about."""
        raise NotImplementedError

    def action_help(self) -> None:
        """Show the keys."""
        self.app.push_screen(Help(help_text(self.where)))

    async def action_quit(self) -> None:
        """Leave."""
        await self.app.action_quit()

    def action_tag(self) -> None:
        """Ask for tags to add and to remove."""
        run = self.target()
        if run is None:
            return

        def change(text: str) -> None:
            words = text.split()
            change_tags(run, [w for w in words if not w.startswith("-")], [w[1:] for w in words if w.startswith("-")])

        tags = " ".join(read_tags(run)) or "none"
        self.app.push_screen(
            Prompt(f"Tags of {run.name}: {tags}", "good -bad   adds good and removes bad", check=change), self.changed
        )

    def changed(self, result: str | None) -> None:
        """Something about the run is different now."""
        raise NotImplementedError
