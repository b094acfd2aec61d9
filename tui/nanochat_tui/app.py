"""The dashboard as a Textual app: its screens, its style, and the command palette."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from textual.app import App, SystemCommand
from textual.screen import Screen

from nanochat_framework.runs.directory import RunDirectory
from nanochat_tui.keys import KEYS, shown
from nanochat_tui.requests import Requests
from nanochat_tui.run_screen import RunScreen
from nanochat_tui.runs_screen import RunsScreen

CSS = """
Screen { background: $background; }
#heading { height: 1; background: $panel; color: $foreground; text-style: bold; text-overflow: ellipsis; text-wrap: nowrap; }
#filter { height: 1; border: none; padding: 0 1; background: $surface; }
#nothing { padding: 1 2; color: $text-muted; }
DataTable { height: 1fr; background: $background; scrollbar-size-vertical: 1; }
DataTable > .datatable--header { background: $background; color: $text-muted; text-style: none; }
#figures { height: 1; background: $panel; color: $text-muted; text-overflow: ellipsis; text-wrap: nowrap; }
#log-filter { height: 1; border: none; padding: 0 1; background: $surface; }
ChartGrid { height: 1fr; scrollbar-size-vertical: 1; }
TabbedContent { height: 1fr; }
ContentSwitcher { height: 1fr; }
TabPane { padding: 0 1; height: 1fr; }
Log { height: 1fr; background: $background; scrollbar-size: 1 1; }
#sample-texts { width: 1fr; height: auto; }
Footer { background: $panel; }
ModalScreen { align: center middle; background: $background 60%; }
.dialog { width: 76; max-width: 96%; height: auto; max-height: 96%; background: $surface; border: round $primary; padding: 0 2; }
.dialog.tall { max-height: 90%; }
.dialog Input { border: none; height: 1; padding: 0; background: $boost; margin: 1 0; }
.dialog OptionList { border: none; height: auto; max-height: 20; background: $surface; padding: 0; }
.heading { text-style: bold; }
.hint { color: $text-muted; }
.hint.wrong { color: #ff7f50; }
"""


class Dashboard(App[None]):
    """Runs on one screen. It knows them by their folders, and closing it changes nothing."""

    CSS = CSS
    TITLE = "nanochat"
    ENABLE_COMMAND_PALETTE = True

    def __init__(
        self, runs_dir: Path, *, first: RunDirectory | None = None, wanted: str = "", seconds: float = 0.25
    ) -> None:
        """`first`: the run to begin with; `wanted`: a filter; `seconds` between two looks at a run's files."""
        super().__init__()
        self.runs_screen = RunsScreen(runs_dir, wanted)
        self.first, self.seconds = first, seconds
        self.requests = Requests()

    def on_mount(self) -> None:
        """Begin with all runs, or with one."""
        self.push_screen(self.runs_screen)
        if self.first is not None:
            self.open_run(self.first)

    def open_run(self, run: RunDirectory) -> None:
        """Show one run."""
        self.push_screen(RunScreen(run, self.seconds))

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """What the keys do, by name, for the palette."""
        where = getattr(screen, "where", "")
        for key in KEYS:
            if where in key.where:
                help_line = f"{key.help}  ({shown(key.key)})"
                yield SystemCommand(
                    key.label.capitalize(),
                    help_line,
                    lambda action=key.action: self.call_later(screen.run_action, action),
                )
