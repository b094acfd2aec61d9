"""What every screen of the dashboard has: a name in the table of keys, the app behind it, help and the way out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.screen import Screen

from nanochat_tui.dialogs import Help
from nanochat_tui.keys import help_rows
from nanochat_tui.requests import Answer

if TYPE_CHECKING:
    from nanochat_tui.app import Dashboard


class DashboardScreen(Screen[None]):
    """A full screen. `where` is its name in `keys.KEYS`; give it `BINDINGS = bindings(where)` as well."""

    where = ""

    @property
    def dashboard(self) -> Dashboard:
        """The app."""
        from nanochat_tui.app import Dashboard

        assert isinstance(self.app, Dashboard)
        return self.app

    @property
    def in_sight(self) -> bool:
        """Whether it is to be seen: on top, or behind nothing but windows. (`is_current` of Textual is true of whatever
        is second, and what is drawn there is drawn over.)
        """
        stack = self.app.screen_stack
        return self in stack and all(screen.styles.background.a < 1 for screen in stack[stack.index(self) + 1 :])

    def poll_requests(self) -> None:
        """Tell what was answered; a screen calls it whenever it looks at files."""
        for answer in self.dashboard.requests.poll():
            self.tell(answer)

    def tell(self, answer: Answer) -> None:
        """Show an answer for a few seconds."""
        self.notify(answer.text, severity="information" if answer.good else "error", timeout=8, markup=False)

    def recolour(self) -> None:
        """Other colours were chosen: whatever was written with those of `palette` is to be written again."""

    def action_back(self) -> None:
        """To the screen before."""
        self.dismiss()

    def action_help(self) -> None:
        """Show the keys."""
        self.app.push_screen(Help(help_rows(self.where)))

    async def action_quit(self) -> None:
        """Leave."""
        await self.app.action_quit()
