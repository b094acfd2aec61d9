"""Lines of a log: scrolled, followed, with a text made plain to see wherever it stands."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from nanochat_tui.printable import printable

LONGEST = 10_000
"""Characters of a line that are shown."""
MOST_LINES = 10_000
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
_MATCH, _HERE = Style(underline=True, bold=True), Style(reverse=True, bold=True)


def clean(line: str) -> str:
    """A line as it can be shown: no escape sequences, of several states of a progress bar the last, no control signs."""
    line = _ESCAPES.sub("", line[: 2 * LONGEST])
    shown = printable(line.rstrip("\r").rpartition("\r")[2].expandtabs(8))
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 1]}…"


class LogView(ScrollView, can_focus=True):
    """At its end it follows what is appended; scrolled up it stays where it is."""

    DEFAULT_CSS = "LogView { height: 1fr; background: $background; scrollbar-size: 1 1; }"

    class Moved(Message):
        """It began to follow, or ceased to."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.lines: list[str] = []
        self.needle = ""
        """A text to be seen, in small letters."""
        self.here: int | None = None
        """The line that was jumped to."""
        self.follow = True

    @property
    def line_count(self) -> int:
        """How many lines there are."""
        return len(self.lines)

    def show(self, lines: Sequence[str]) -> None:
        """Show other lines."""
        self.lines, self.here = [], None
        self.virtual_size = Size(0, 0)
        self.append(lines)

    def append(self, lines: Sequence[str]) -> None:
        """Show further lines below."""
        follow = self.follow
        self.lines += map(clean, lines)
        surplus = max(len(self.lines) - MOST_LINES, 0)
        del self.lines[:surplus]
        if self.here is not None:
            self.here = self.here - surplus if self.here >= surplus else None
        width = max((cell_len(line) for line in self.lines[-len(lines) :]), default=0) if lines else 0
        self.virtual_size = Size(max(self.virtual_size.width, width), len(self.lines))
        if follow:
            self.scroll_end(animate=False, x_axis=False, immediate=True, force=True)
        elif surplus:
            self.scroll_to(y=max(self.scroll_y - surplus, 0), animate=False, immediate=True, force=True)
        self.follow = follow
        self.refresh()

    def places(self) -> list[int]:
        """Numbers of the lines that have the needle."""
        return [n for n, line in enumerate(self.lines) if self.needle in line.lower()] if self.needle else []

    def jump(self, number: int) -> None:
        """Go to a line, with what is around it."""
        self.here = number
        self.scroll_to(y=max(number - self.size.height // 2, 0), animate=False, immediate=True, force=True)
        self.refresh()

    def toggle_follow(self) -> None:
        """Follow from the end on, or stay."""
        if self.follow:
            self.follow = False
            self.post_message(self.Moved())
        else:
            self.here = None
            self.scroll_end(animate=False, x_axis=False, immediate=True, force=True)
            self.follow = True
            self.post_message(self.Moved())

    def on_resize(self) -> None:
        """At the end it stays at the end."""
        if self.follow:
            self.scroll_end(animate=False, x_axis=False, immediate=True, force=True)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Whoever scrolls up wants to stay there."""
        super().watch_scroll_y(old_value, new_value)
        follow = new_value >= self.max_scroll_y
        if follow != self.follow:
            self.follow = follow
            self.post_message(self.Moved())

    def render_line(self, y: int) -> Strip:
        """One row, in Textual's terms."""
        left, top = self.scroll_offset
        number, width, base = top + y, self.size.width, self.rich_style
        if number >= len(self.lines):
            return Strip.blank(width, base)
        mark = base + (_HERE if number == self.here else _MATCH)
        strip = Strip([Segment(text, mark if found else base) for text, found in self._pieces(self.lines[number])])
        return strip.crop_extend(left, left + width, base)

    def _pieces(self, line: str) -> list[tuple[str, bool]]:
        """The line in pieces, and which of them are the needle."""
        low, pieces, begin = line.lower(), [], 0
        if not self.needle or len(low) != len(line):  # a few letters grow when they are made small
            return [(line, bool(self.needle) and self.needle in low)]
        while (found := low.find(self.needle, begin)) >= 0:
            end = found + len(self.needle)
            pieces += [(line[begin:found], False), (line[found:end], True)]
            begin = end
        return [*pieces, (line[begin:], False)]
