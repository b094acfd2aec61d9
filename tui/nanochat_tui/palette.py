"""Colours that people with any colour vision tell apart (Okabe and Ito, 2008), and signs that need no colour at all."""

from __future__ import annotations

CURVES = ("#56b4e9", "#e69f00", "#2bc49a", "#f0e442", "#cc79a7", "#d55e00", "#8fa8ff")
SIGNS = ("●", "▲", "■", "◆", "○", "△", "□")
"""Of the same place as the colours: what tells curves apart without them."""
ALERT = "#ff7f50"
GOOD = "#2bc49a"
FAINT = "#7f8790"

STATES: dict[str, tuple[str, str]] = {
    "queued": ("◌", FAINT),
    "starting": ("◔", "#56b4e9"),
    "running": ("●", "#2bc49a"),
    "paused": ("‖", "#f0e442"),
    "stopping": ("◑", "#f0e442"),
    "stopped": ("■", "#e69f00"),
    "released": ("□", "#e69f00"),
    "finished": ("✓", "#56b4e9"),
    "failed": ("✗", ALERT),
    "lost": ("?", ALERT),
    "unknown": ("·", FAINT),
}
"""State -> its sign and its colour; the word always stands beside them."""
