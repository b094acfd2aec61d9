"""A command under way in a window: what it says, how far it is, what came of it; escape cancels it."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.console import RenderableType
from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from nanochat_framework.errors import NanochatError
from nanochat_tui.charts.ticks import duration
from nanochat_tui.commands import Command
from nanochat_tui.formats import bar
from nanochat_tui.palette import palette
from nanochat_tui.printable import printable

_NUMBER = r"\d[\d,]*(?:\.\d+)?"
_PROGRESS = re.compile(rf"(?P<label>.+?)  (?P<done>{_NUMBER})/(?P<total>{_NUMBER}) (?P<rest>.*)")
_LINES = 6
"""So many of the command's lines are shown while it runs."""
_TICK_SECONDS = 0.2
Shown = Callable[[str], RenderableType]


class Work(ModalScreen[bool]):
    """Runs a command; True where it did what it was asked for."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "cancel"),
        Binding("enter", "close", "close"),
        Binding("down", "scroll(1)", "down"),
        Binding("up", "scroll(-1)", "up"),
    ]
    DEFAULT_CSS = """
    Work #work-said { height: auto; max-height: 70vh; margin: 1 0; scrollbar-size-vertical: 1; }
    Work #work-text { height: auto; }
    """

    def __init__(self, title: str, arguments: Sequence[str], shown: Shown = Text) -> None:
        """`shown` makes of the command's output what is to be seen once it has ended."""
        super().__init__()
        self.title_text, self.arguments, self.shown = title, arguments, shown
        self.command: Command | None = None
        self.done: bool | None = None
        """Whether it did it; None while it runs."""
        self._began = time.monotonic()
        self._cancelled = False

    def compose(self) -> ComposeResult:
        """Title, what it says, keys."""
        with Vertical(classes="dialog tall wide"):
            yield Static(self.title_text, id="work-title", classes="heading", markup=False)
            with VerticalScroll(id="work-said", can_focus=False):
                yield Static(id="work-text", markup=False)
            yield Static("esc: cancel", id="work-keys", classes="hint", markup=False)

    def on_mount(self) -> None:
        """Start it."""
        self._run()
        self.set_interval(_TICK_SECONDS, self._tick)

    @work
    async def _run(self) -> None:
        try:
            self.command = await Command.start(self.arguments)
        except NanochatError as error:
            self._end(False, Text(str(error)))
            return
        self.command.end_input()
        try:
            text = "\n".join([printable(line) async for line in self.command.lines()])
            code = await self.command.wait()
        except asyncio.CancelledError:
            await self.command.cancel()
            raise
        if code == 0:
            self._end(True, self._result(text))
        else:
            self._end(False, Text("cancelled" if self._cancelled else printable(self.command.complaint())))

    def _result(self, text: str) -> RenderableType:
        try:
            return self.shown(text)
        except (ValueError, KeyError, TypeError, AttributeError, OSError):
            return Text(text)  # not what was expected, or what was written is gone: as it is

    def _tick(self) -> None:
        """While it runs: its newest lines and the time."""
        if self.done is None:
            said = self.command.narration if self.command is not None else ()
            self.query_one("#work-text", Static).update(progress(said, time.monotonic() - self._began))

    def _end(self, done: bool, what: RenderableType) -> None:
        self.done = done
        sign, colour = ("✓", palette().good) if done else ("✗", palette().alert)
        seconds = duration(time.monotonic() - self._began)
        self.query_one("#work-title", Static).update(Text(f"{sign} {self.title_text}  {seconds}", f"bold {colour}"))
        self.query_one("#work-text", Static).update(what)
        self.query_one("#work-keys", Static).update("enter: close    ↑ ↓: scroll")

    async def action_leave(self) -> None:
        """Cancel it, or close if it has ended."""
        if self.done is not None:
            self.dismiss(self.done)
        elif self.command is not None and not self._cancelled:
            self._cancelled = True
            self.query_one("#work-keys", Static).update("cancelling…")
            await self.command.cancel()

    def action_close(self) -> None:
        """Close once it has ended."""
        if self.done is not None:
            self.dismiss(self.done)

    def action_scroll(self, direction: int) -> None:
        """Scroll what it said."""
        said = self.query_one("#work-said")
        said.scroll_relative(y=direction * max(said.size.height // 2, 1), animate=False)


def progress(lines: Sequence[str], seconds: float) -> Text:
    """A command's newest lines; the last one with a bar where it tells how far it is."""
    stages: list[str] = []
    for line in map(printable, lines):
        if stages and _label(stages[-1]) == _label(line):
            stages[-1] = line  # the same work, further
        else:
            stages.append(line)
    text = Text()
    for line in stages[-_LINES:-1]:
        text.append(f"{line}\n", "dim")
    if stages:
        text.append(_with_bar(stages[-1]))
    else:
        text.append("starting…")
    return text.append(f"   {duration(seconds)}", "dim")


def _label(line: str) -> str:
    found = _PROGRESS.match(line)
    return found["label"] if found else line


def _with_bar(line: str) -> str:
    found = _PROGRESS.match(line)
    if not found:
        return line
    done, total = (float(found[name].replace(",", "")) for name in ("done", "total"))
    share = done / total if total else 0.0
    return f"{found['label']}  {bar(share, 24)} {share:4.0%}  {found['done']}/{found['total']} {found['rest']}"
