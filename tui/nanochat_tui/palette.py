"""Colours of curves and states that people with any colour vision tell apart, and signs that need no colour at all.

From Okabe and Ito, "Color Universal Design" (2008), and Paul Tol, "Colour Schemes" (SRON technical note, 2021: light and
muted), made darker or lighter where a background asks for it. A process has one palette at a time; it goes with the theme.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Palette:
    """Styles as Rich reads them: colours by their hexadecimal numbers, or words (`bold`) where there are no colours."""

    curves: tuple[str, ...]
    alert: str
    good: str
    busy: str
    waiting: str
    ended: str
    faint: str
    note: str
    background: str
    """What a faint curve is mixed with."""
    plain: bool = False
    """Without colours: curves are told apart by their dashes."""


OKABE_ITO = Palette(
    curves=("#56b4e9", "#e69f00", "#00a37a", "#e8e8e8", "#d55e00", "#f0e442", "#cc79a7"),
    alert="#ff7f50",
    good="#2bc49a",
    busy="#56b4e9",
    waiting="#f0e442",
    ended="#e69f00",
    faint="#7f8790",
    note="#c8ccd2",
    background="#1c1c1c",
)
OKABE_ITO_LIGHT = Palette(
    curves=("#0072b2", "#d55e00", "#1a1a1a", "#009e73", "#7a2e5c", "#5b6ee0", "#b04f86"),
    alert="#b83a00",
    good="#00724f",
    busy="#0072b2",
    waiting="#806000",
    ended="#8c5a00",
    faint="#6b7178",
    note="#40454a",
    background="#f4f4f4",
)
TOL = Palette(
    curves=("#77aadd", "#ee8866", "#dddddd", "#bbcc33", "#eedd88", "#99ddff", "#44bb99"),
    alert="#ee8866",
    good="#44bb99",
    busy="#77aadd",
    waiting="#eedd88",
    ended="#ffaabb",
    faint="#7f8790",
    note="#dddddd",
    background="#1c1c1c",
)
TOL_LIGHT = Palette(
    curves=("#332288", "#cc6677", "#661100", "#999933", "#882255", "#aa4499", "#117733"),
    alert="#aa2f45",
    good="#117733",
    busy="#332288",
    waiting="#76761f",
    ended="#882255",
    faint="#6b7178",
    note="#40454a",
    background="#f4f4f4",
)
PLAIN = Palette(
    curves=("",) * 7,
    alert="bold",
    good="",
    busy="",
    waiting="",
    ended="",
    faint="dim",
    note="",
    background="",
    plain=True,
)

SIGNS = ("●", "▲", "■", "◆", "○", "△", "□")
"""Of the same place as a palette's curves: what tells curves apart without colours."""
STATE_SIGNS: dict[str, tuple[str, str]] = {
    "queued": ("◌", "faint"),
    "starting": ("◔", "busy"),
    "running": ("●", "good"),
    "paused": ("‖", "waiting"),
    "stopping": ("◑", "waiting"),
    "stopped": ("■", "ended"),
    "released": ("□", "ended"),
    "finished": ("✓", "busy"),
    "failed": ("✗", "alert"),
    "lost": ("?", "alert"),
    "unknown": ("·", "faint"),
}
"""State -> its sign and which of the palette's styles it has; the word always stands beside them."""

_palette = OKABE_ITO


def palette() -> Palette:
    """The palette of now."""
    return _palette


def use(chosen: Palette) -> None:
    """Take another palette; what is on the screen has to be drawn again."""
    global _palette
    _palette = chosen


def sign(state: str) -> tuple[str, str]:
    """A state's sign and style."""
    found, style = STATE_SIGNS.get(state, STATE_SIGNS["unknown"])
    return found, getattr(_palette, style)
