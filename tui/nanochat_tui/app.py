"""The dashboard as a Textual app: its screens, its style, and the command palette."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.app import App, SystemCommand
from textual.screen import Screen
from textual.theme import Theme

from nanochat_framework.errors import UsageError
from nanochat_framework.runs.directory import RunDirectory
from nanochat_tui import palette, themes
from nanochat_tui.base_screen import DashboardScreen
from nanochat_tui.filters import parse
from nanochat_tui.keys import KEYS, choose, keys_of, shown
from nanochat_tui.layout import Memory
from nanochat_tui.requests import Requests
from nanochat_tui.runs_screen import RunsScreen
from nanochat_tui.settings import Settings

if TYPE_CHECKING:
    from nanochat_tui.launch.draft import Draft

# Screens are imported when they are opened: the first paint does not wait for what it does not show.

SAVE_SECONDS = 2.0
"""How soon a change of the layout is written."""

CSS = """
Screen { background: $background; }
#heading { height: 1; background: $panel; color: $foreground; text-style: bold; text-overflow: ellipsis; text-wrap: nowrap; }
#filter { height: 1; border: none; padding: 0 1; background: $surface; }
#nothing { padding: 1 2; color: $text-muted; }
TextTable { height: 1fr; background: $background; scrollbar-size-vertical: 1; }
TextTable > .datatable--header { background: $background; color: $text-muted; text-style: none; }
#figures { height: 1; background: $panel; color: $text-muted; text-overflow: ellipsis; text-wrap: nowrap; }
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
.dialog.wide { width: 112; }
.dialog Input { border: none; height: 1; padding: 0; background: $boost; margin: 1 0; }
.dialog .row Input { margin: 0; padding: 0 1; }
.dialog OptionList {
    border: none; height: auto; max-height: 55vh; background: $surface; padding: 0;
    text-wrap: nowrap; text-overflow: ellipsis;
}
.heading { text-style: bold; }
.hint { color: $text-muted; }
.hint.wrong { color: $text-error; }
"""


class Dashboard(App[None]):
    """Runs on one screen. It knows them by their folders, and closing it changes nothing."""

    CSS = CSS
    TITLE = "nanochat"
    ENABLE_COMMAND_PALETTE = True

    def __init__(
        self,
        runs_dir: Path,
        *,
        first: RunDirectory | None = None,
        wanted: str = "",
        seconds: float = 0.25,
        settings: Settings | None = None,
        memory: Memory | None = None,
    ) -> None:
        """`first`: the run to begin with; `wanted`: a filter; `seconds` between two looks at a run's files.

        Without `settings` keys and theme are ours; without a `memory` nothing is remembered.
        """
        super().__init__()
        self.settings, self.memory = settings or Settings(), memory or Memory()
        self._dress()
        choose(self.settings.keys)
        self.set_keymap({name: ",".join(keys) for name, keys in self.settings.keys.items()})
        self.runs_screen = RunsScreen(runs_dir, wanted or self._filter_before(), self.memory)
        self.first, self.seconds = first, seconds
        self.requests = Requests()
        self.last_form: Draft | None = None
        """The form of a new run that was left."""
        self._panels: bool | None = None

    def _filter_before(self) -> str:
        """The filter of the last time, as far as it still is one."""
        try:
            parse(self.memory.layout.filter)
        except UsageError:
            return ""
        return self.memory.layout.filter

    def _dress(self) -> None:
        """Put on the theme: without colours if that is asked for, else what was chosen last, here or in the settings."""
        for theme in themes.own():
            self.register_theme(theme)
        layout, configured = self.memory.layout, self.settings.theme
        chosen = layout.theme if layout.theme_before == configured else ""
        self.theme = chosen if chosen in themes.names() else configured or themes.DEFAULT
        if self.no_color:
            self.theme = themes.PLAIN
            self._filters = [themes.WithoutColour()]  # Textual's makes greys, or loses the cursor's row
        self._filters.append(themes.WithoutControl())
        palette.use(themes.palette_of(self.current_theme))

    def _redress(self, theme: Theme) -> None:
        """Another theme was chosen: its colours of charts and states, now and the next time."""
        palette.use(themes.palette_of(theme))
        self.memory.remember(theme=theme.name, theme_before=self.settings.theme)
        for screen in self.screen_stack:
            if isinstance(screen, DashboardScreen):
                screen.recolour()

    def on_mount(self) -> None:
        """Begin with all runs, or with one."""
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # on Windows, and beside a main thread
            asyncio.get_running_loop().add_signal_handler(
                signal.SIGTERM, lambda: self.exit(return_code=128 + signal.SIGTERM)
            )
        for note in (*self.settings.notes, self.memory.note):
            if note:
                self.notify(note, severity="warning", timeout=15, markup=False)
        self.push_screen(self.runs_screen)
        if self.first is not None:
            self.open_run(self.first)
        self.set_interval(SAVE_SECONDS, self._save)
        self.theme_changed_signal.subscribe(self, self._redress)

    def _save(self) -> None:
        if wrong := self.memory.save():
            self.notify(wrong, severity="warning", timeout=8, markup=False)

    def on_unmount(self) -> None:
        """Keep what is to be found again."""
        self.memory.save()

    def open_run(self, run: RunDirectory) -> None:
        """Show one run."""
        from nanochat_tui.run_screen import RunScreen

        self.push_screen(RunScreen(run, self.seconds, self.memory))

    async def some_have_panels(self) -> bool:
        """Whether any plugin has a panel; asked once."""
        from nanochat_tui.panels.installed import some_have_panels

        if self._panels is None:
            self._panels = await some_have_panels()
        return self._panels

    def talk_to(self, model: Path, run: RunDirectory | None = None) -> None:
        """Load a model and talk to it."""
        from nanochat_tui.chat.screen import ChatScreen

        self.push_screen(ChatScreen(model, run))

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """What the keys do, by name, for the palette; and the themes."""
        where = getattr(screen, "where", "")
        for key in KEYS:
            if where in key.where:
                help_line = f"{key.help}  ({' '.join(map(shown, keys_of(key)))})"
                yield SystemCommand(
                    key.label.capitalize(),
                    help_line,
                    lambda action=key.action: self.call_later(screen.run_action, action),
                )
        if not self.no_color:
            yield SystemCommand("Theme", "other colours; they are remembered", self.search_themes)

    def search_themes(self) -> None:
        """Choose a theme by its name."""
        self.search_commands(
            [(name, lambda name=name: setattr(self, "theme", name)) for name in themes.names()],
            placeholder="theme",
        )
