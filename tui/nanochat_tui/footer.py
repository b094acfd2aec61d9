"""The line of keys at the bottom: as many as there is room for, help and the way out in any case."""

from __future__ import annotations

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.widget import Widget
from textual.widgets import Footer
from textual.widgets._footer import FooterKey

ALWAYS = ("help", "keys", "quit")
"""Actions whose keys are shown before any other gets room."""


class KeysFooter(Footer):
    """Textual's, but what does not fit is left out from the end instead of being drawn over."""

    def __init__(self) -> None:
        super().__init__(compact=True)
        self._width = 0

    def compose(self) -> ComposeResult:
        """The keys that fit, in their order."""
        found = [(each, _width(each)) for each in super().compose()]
        room = self.app.size.width
        kept: set[Widget] = set()
        for each, width in sorted(found, key=lambda pair: _rank(pair[0])):
            if width > room:
                break
            kept.add(each)
            room -= width
        yield from (each for each, _ in found if each in kept)

    async def on_resize(self) -> None:
        """Others fit."""
        if self.app.size.width != self._width:
            self._width = self.app.size.width
            await self.recompose()


def _is_palette(key: Widget) -> bool:
    return key.has_class("-command-palette")


def _rank(key: Widget) -> int:
    return 0 if getattr(key, "action", "") in ALWAYS else 1 if _is_palette(key) else 2


def _width(key: Widget) -> int:
    """Cells of a key with its word and the space behind it; the palette's has a line before it instead."""
    assert isinstance(key, FooterKey), key
    return cell_len(f"{key.key_display} {key.description}") + 1 + _is_palette(key)
