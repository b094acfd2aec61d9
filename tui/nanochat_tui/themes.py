"""Themes of our own, the palette of charts and states that goes with any theme, and screens without colours."""

from __future__ import annotations

from functools import cache
from typing import Any

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter
from textual.theme import BUILTIN_THEMES, Theme

from nanochat_tui import palette
from nanochat_tui.palette import Palette
from nanochat_tui.printable import obeyed

DEFAULT = "okabe-ito"
PLAIN = "no-colour"
"""The theme that NO_COLOR asks for; not to be chosen otherwise."""

_OKABE_ITO: dict[str, Any] = {
    "primary": "#0072b2",
    "accent": "#e69f00",
    "warning": "#e69f00",
    "error": "#d55e00",
    "success": "#009e73",
}
_TOL: dict[str, Any] = {
    "primary": "#4477aa",
    "accent": "#ee8866",
    "warning": "#ccbb44",
    "error": "#cc6677",
    "success": "#44aa99",
}
_DARK: dict[str, Any] = {"background": "#121212", "surface": "#1e1e1e", "panel": "#24292e", "foreground": "#e0e0e0"}
_LIGHT: dict[str, Any] = {"background": "#f4f4f4", "surface": "#e6e8ea", "panel": "#d8dce0", "foreground": "#1a1a1a"}
_BLACK_AND_WHITE: dict[str, Any] = {
    **dict.fromkeys(("primary", "secondary", "accent", "warning", "error", "success", "foreground"), "#ffffff"),
    **dict.fromkeys(("background", "surface", "panel", "boost"), "#000000"),
}
_OWN: dict[str, tuple[Theme, Palette]] = {
    "okabe-ito": (Theme("okabe-ito", dark=True, **_OKABE_ITO, **_DARK), palette.OKABE_ITO),
    "okabe-ito-light": (
        Theme("okabe-ito-light", dark=False, **_OKABE_ITO | _LIGHT | {"accent": "#b83a00"}),
        palette.OKABE_ITO_LIGHT,
    ),
    "tol": (Theme("tol", dark=True, **_TOL, **_DARK), palette.TOL),
    "tol-light": (Theme("tol-light", dark=False, **_TOL | _LIGHT | {"accent": "#aa2f45"}), palette.TOL_LIGHT),
}
_PLAIN_THEME = Theme(
    PLAIN,
    dark=True,
    variables={"block-cursor-background": "#ffffff", "block-cursor-foreground": "#000000"},
    **_BLACK_AND_WHITE,
)


def names() -> list[str]:
    """Themes to choose from: our own, which any colour vision can read, then Textual's."""
    return [*_OWN, *(name for name in BUILTIN_THEMES if not name.startswith("ansi"))]


def own() -> list[Theme]:
    """What Textual has to be told of."""
    return [theme for theme, _ in _OWN.values()] + [_PLAIN_THEME]


def palette_of(theme: Theme) -> Palette:
    """The colours of charts and states for a theme; for Textual's those of Okabe and Ito, by their background."""
    if theme.name == PLAIN:
        return palette.PLAIN
    if theme.name in _OWN:
        return _OWN[theme.name][1]
    return palette.OKABE_ITO if theme.dark else palette.OKABE_ITO_LIGHT


class WithoutColour(LineFilter):
    """Takes every colour out of what is drawn: a light background becomes reverse video, grey text dim."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The same text in the terminal's own two colours."""
        return [Segment(s.text, _colourless(s.style), s.control) if s.style else s for s in segments]


class WithoutControl(LineFilter):
    """Takes out what a terminal would obey, wherever it came from: names of folders and metrics, tags, texts of errors.

    Where such texts are likely they come as signs (`printable`); here they have no width, so that columns stay columns.
    """

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The same segments where all of it can be shown, as nearly always."""
        if all(segment.text.isprintable() for segment in segments):
            return segments
        return [
            segment if segment.text.isprintable() else Segment(_harmless(segment.text), segment.style, segment.control)
            for segment in segments
        ]


def _harmless(text: str) -> str:
    """Characters that a terminal would obey become spaces where they take cells, else nothing."""
    return "".join(" " * cell_len(character) if obeyed(character) else character for character in text)


@cache
def _colourless(style: Style) -> Style:
    reverse = bool(style.reverse) != (style.bgcolor is not None and _brightness(style.bgcolor) > 0.5)
    grey = not reverse and style.color is not None and _brightness(style.color) < 0.7
    return Style(
        bold=style.bold,
        dim=style.dim or grey or None,
        italic=style.italic,
        underline=style.underline,
        strike=style.strike,
        reverse=reverse or None,
        link=style.link,
        meta=style.meta or None,
    )


def _brightness(colour: Any) -> float:
    """0 black, 1 white."""
    return Color.from_rich_color(colour).brightness
