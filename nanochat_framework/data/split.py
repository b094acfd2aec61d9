"""Which documents are held out: whole groups, never lines, so that nothing trained on has a sister in the held-out part."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from nanochat_framework.contracts.source import Document


def held_out_groups(sizes: Mapping[str, int], fraction: float, seed: int) -> frozenset[str]:
    """Choose groups to hold out: in an order drawn from the seed, as many as come near `fraction` of all bytes.

    `sizes` maps groups to bytes. A group that would overshoot by half is passed over; at least one group is chosen and at
    least one is left where there are two. One group alone cannot be split this way: the result is empty.
    """
    if len(sizes) < 2 or fraction <= 0:
        return frozenset()
    wanted = fraction * sum(sizes.values())
    order = sorted(sizes, key=lambda group: hashlib.sha256(f"{seed}:{group}".encode()).digest())
    chosen: list[str] = []
    total = 0
    for group in order:
        if total >= wanted or len(chosen) == len(sizes) - 1:
            break
        if total + sizes[group] <= 1.5 * wanted:
            chosen.append(group)
            total += sizes[group]
    return frozenset(chosen or [min(order, key=lambda group: sizes[group])])


def cut_in_two(document: Document, fraction: float) -> tuple[Document, Document]:
    """Cut one document near its end, at a blank line if there is one close by, else at a line, else anywhere."""
    data = document.data
    goal = int(len(data) * (1 - fraction))
    nearest = data.rfind(b"\n\n", goal // 2, goal)
    cut = nearest + 2 if nearest >= 0 else data.rfind(b"\n", 0, goal) + 1 or goal
    return (
        Document(document.name, document.group, data[:cut]),
        Document(f"{document.name} (held-out end)", document.group, data[cut:]),
    )
