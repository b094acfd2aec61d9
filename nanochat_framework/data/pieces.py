"""Cuts long text where no token can cross, so that it is encoded piece by piece: in bounded memory, on all cores.

Between a line's end and a following visible character, and between a letter and a following space and letter, the
Llama-3 split pattern always ends one word and begins the next. Ids of the pieces, one after another, are therefore the
ids of the whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from nanochat_framework.data.file_text import Text

PIECE_BYTES = 2**18
"""Pieces are at most this long where there is a place to cut, which is nearly always."""
LONGEST_PIECE_BYTES = 2**22
"""Text without any such place (megabytes of one unbroken line) is cut here, between two characters. No byte is lost;
the ids may differ from those of the whole at that one place."""

# After "\n": ASCII from "!" on, or the first byte of a character that is surely no white space. U+0085, U+00A0, U+1680,
# U+2000-205F and U+3000, which are, begin with C2, E1, E2 and E3 80.
_SAFE = re.compile(rb"\n(?=[!-~\xc3-\xdf\xe4-\xf4]|\xe3[\x81-\xbf])|[a-z](?= [a-z])")
_TAIL = 4096


def pieces(
    data: Text, *, start: int = 0, target: int = PIECE_BYTES, longest: int = LONGEST_PIECE_BYTES
) -> Iterator[bytes]:
    """Cut data from `start` on into pieces of at most `target` bytes, `longest` where there is nowhere to cut earlier.

    From the end of any piece on, the pieces are those that followed it.
    """
    size = len(data)
    while size - start > target:
        end = start + _cut(data[start : start + target + 2], target)
        if end == start:
            end = start + _late_cut(data[start : start + longest + 2], target, longest)
        yield data[start:end]
        start = end
    if start < size:
        yield data[start:size]


def _cut(window: bytes, target: int) -> int:
    """The last safe place in (0, target], 0 if there is none; the window reaches two bytes further."""
    for begin in (max(0, target - _TAIL), 0):
        last = 0
        for match in _SAFE.finditer(window, begin):
            if match.end() <= target:
                last = match.end()
        if last:
            return last
    return 0


def _late_cut(window: bytes, target: int, longest: int) -> int:
    """The first safe place after target, else one between two characters near `longest`."""
    match = _SAFE.search(window, target)
    if match and match.end() <= longest:
        return match.end()
    cut = min(longest, len(window))
    if cut == len(window):
        return cut
    back = next((n for n in range(4) if window[cut - n] & 0xC0 != 0x80), 0)  # continuation bytes stay with their first
    return cut - back if cut > back else cut
