"""The tab of plugins' panels: what a child process that calls them says, panel by panel."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static
from textual.worker import Worker

from nanochat_framework.errors import NanochatError
from nanochat_tui.commands import Command
from nanochat_tui.keys import hint
from nanochat_tui.palette import palette
from nanochat_tui.printable import printable


class PanelsPane(VerticalScroll):
    """Starts `nanochat plugins panels` when it is first looked at; the process ends with the pane."""

    DEFAULT_CSS = """
    PanelsPane { height: 1fr; scrollbar-size-vertical: 1; }
    PanelsPane Static { height: auto; margin-bottom: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    """

    def __init__(self, run: Path) -> None:
        super().__init__()
        self._run = run
        self._command: Command | None = None
        self._worker: Worker[None] | None = None
        self._views: dict[tuple[str, str], Static] = {}
        self._note = Static(markup=False)

    def compose(self) -> ComposeResult:
        """A line for what is to be said beside the panels."""
        yield self._note

    def look(self) -> None:
        """It is to be seen: see to it that the process runs."""
        if self._worker is None or self._worker.is_finished:
            self._say("asking the plugins…", palette().faint)
            self._worker = self.run_worker(self._follow(), group="panels", exit_on_error=False)

    async def on_unmount(self) -> None:
        """The process ends with the pane."""
        if self._command is not None:
            await self._command.cancel()

    async def _follow(self) -> None:
        try:
            command = self._command = await Command.start(["plugins", "panels", str(self._run), "--follow", "--json"])
        except NanochatError as error:
            self._ended(str(error))
            return
        command.end_input()
        try:
            async for line in command.lines():
                text = _panel(line)
                if text is not None:
                    self._show(text)
            code = await command.wait()
        finally:
            await command.cancel()
        if not self.is_attached:
            return
        if code == 0:
            self._say("No plugin has a panel.", palette().faint)
        else:
            self._ended(f"the panels' process ended: {printable(command.complaint())}")

    def _ended(self, why: str) -> None:
        self._say(f"✗ {why}; {hint('tab_panels')} starts it again", palette().alert)

    def _say(self, text: str, colour: str) -> None:
        self._note.update(Text(text, colour))
        self._note.display = bool(text)

    def _show(self, text: Mapping[str, Any]) -> None:
        self._say("", "")
        key = (text["plugin"], text["name"])
        if key not in self._views:
            self._views[key] = Static(markup=False)
            self.mount(self._views[key])
        self._views[key].update(drawn(text))


def _panel(line: str) -> Mapping[str, Any] | None:
    try:
        text = json.loads(line)
    except ValueError:
        return None
    return (
        text if isinstance(text, dict) and {"plugin", "name", "title", "lines", "error", "late"} <= set(text) else None
    )


def drawn(panel: Mapping[str, Any]) -> Text:
    """Title and name, what is wrong, the lines."""
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(_line(panel["title"]), "bold").append(
        f"  {_line(panel['name'])} of {_line(panel['plugin'])}", palette().faint
    )
    if panel["late"]:
        text.append(
            "\n! no answer for some seconds; what follows is old" if panel["lines"] else "\n! no answer yet",
            palette().alert,
        )
    if panel["error"]:
        text.append(f"\n✗ {_line(panel['error'])}", palette().alert)
    for line in panel["lines"]:
        text.append(f"\n{_line(line)}")
    return text


def _line(text: Any) -> str:
    return printable(str(text)).replace("\n", "␊")
