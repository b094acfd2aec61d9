"""Text of unknown making as a terminal may have it: no control characters, no escape sequences, nothing that turns it round."""

from __future__ import annotations

import unicodedata

TAB_WIDTH = 4
_PICTURES = 0x2400
"""Where Unicode has pictures of the control characters, in their order: ␀ to ␟."""
_JOINERS = "\u200c\u200d"
"""Invisible, but parts of words and of emoji."""


def obeyed(character: str) -> bool:
    """Whether a terminal may do something else with a character than show it, or has no way to."""
    # Cc: control; Cf: directions and other invisible marks; Cs: half a surrogate pair; Zl, Zp: unusual ends of lines
    return character not in _JOINERS and unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")


class _Table(dict[int, str]):
    """What to show for each character; made as characters turn up."""

    def __missing__(self, code: int) -> str:
        self[code] = shown = _shown(chr(code))
        return shown


def _shown(character: str) -> str:
    code = ord(character)
    if character in "\n\t" or character in _JOINERS:
        return character
    if code < 0x20:
        return chr(_PICTURES + code)
    if code == 0x7F:
        return "␡"
    return "\ufffd" if obeyed(character) else character


_TABLE = _Table()


def printable(text: str) -> str:
    """The text with signs for what cannot be shown and spaces for tabs; newlines stay."""
    return text.replace("\r\n", "\n").translate(_TABLE).expandtabs(TAB_WIDTH)
