"""Which documents are held out: whole groups, never lines, so that nothing trained on has a sister in the held-out part."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace

from nanochat_framework.contracts.source import Document
from nanochat_framework.data.file_text import part_of


def held_out_groups(sizes: Mapping[str, int], fraction: float, seed: int) -> frozenset[str]:
    """Choose groups to hold out: in an order drawn from the seed, as many as come near `fraction` of all bytes.

    `sizes` maps groups to bytes. A group that would overshoot by half is passed over; at least one group is chosen and at
    least one is left where there are two. One group alone cannot be split this way: the result is empty.
    """
    if len(sizes) < 2 or fraction <= 0:
        return frozenset()
    wanted = fraction * sum(sizes.values())
    order = sorted(sizes, key=lambda group: _draw(group, seed))
    chosen: list[str] = []
    total = 0
    for group in order:
        if total >= wanted or len(chosen) == len(sizes) - 1:
            break
        if total + sizes[group] <= 1.5 * wanted:
            chosen.append(group)
            total += sizes[group]
    return frozenset(chosen or [min(order, key=lambda group: sizes[group])])


def drawn(unit: str, fraction: float, seed: int) -> bool:
    """Whether a hash of (seed, unit) falls into the fraction: a choice among units too many to be listed."""
    return int.from_bytes(_draw(unit, seed)[:8], "big") < fraction * 2**64


def _draw(unit: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{unit}".encode("utf-8", "surrogatepass")).digest()


_WINDOW = 2**20


def cut_in_two(document: Document, fraction: float) -> tuple[Document, Document]:
    """Cut one document near its end, at a blank line if there is one close by, else at a line, else between characters.

    "Close by" is within the half of the text before the place asked for, and within a megabyte.
    """
    data, size = document.data, len(document.data)
    goal = int(size * (1 - fraction))
    first = max(goal // 2, goal - _WINDOW)
    window = data[first:goal]
    blank, line = window.rfind(b"\n\n"), window.rfind(b"\n")
    if blank >= 0 or line >= 0:
        cut = first + (blank + 2 if blank >= 0 else line + 1)
    else:
        cut = goal
        while cut > first and data[cut : cut + 1] and 0x80 <= data[cut : cut + 1][0] < 0xC0:  # inside a character
            cut -= 1
    end = f"{document.name} (held-out end)"
    return (
        replace(document, data=part_of(data, 0, cut)),
        replace(document, name=end, data=part_of(data, cut, size)),
    )
