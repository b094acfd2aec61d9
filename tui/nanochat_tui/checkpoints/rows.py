"""Checkpoints as rows of a table."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from nanochat_framework.runs.checkpoints import FURTHER_NAMES, Checkpoint
from nanochat_tui.charts.ticks import duration, short
from nanochat_tui.formats import decimals
from nanochat_tui.palette import palette
from nanochat_tui.printable import printable


@dataclass(frozen=True)
class Column:
    """A column; without a width it takes what its cells need, on screens of `least_screen` cells or more."""

    name: str
    width: int | None
    right: bool = True
    least_screen: int = 0


COLUMNS = (
    Column("checkpoint", 13, right=False),
    Column("step", 8),
    Column("size", 7, least_screen=60),
    Column("held-out", 9),
    Column("bits/byte", 9, least_screen=96),
    Column("age", 6, least_screen=70),
    Column("", 6, right=False),
    Column("state", None, right=False),
)
BEST, KEPT = "▸", "✓ kept"


def rows(
    found: Sequence[Checkpoint], being_written: Sequence[str], now: float | None = None
) -> dict[str, tuple[Text, ...]]:
    """Name -> cells. The lowest held-out loss is marked."""
    at = time.time() if now is None else now
    losses = [each.eval_loss for each in found if each.eval_loss is not None and math.isfinite(each.eval_loss)]
    best = min(losses, default=None) if len(set(losses)) > 1 else None
    made = {each.name: _row(each, best, at) for each in found}
    for name in being_written:
        if name not in made:
            made[name] = (
                Text(name, palette().faint),
                *(Text() for _ in range(6)),
                Text("being written…", palette().faint),
            )
    return made


def _row(each: Checkpoint, best: float | None, now: float) -> tuple[Text, ...]:
    is_best = best is not None and each.eval_loss == best
    loss = decimals(each.eval_loss)
    marked = Text(f"{BEST} {loss}", f"bold {palette().good}") if is_best else Text(loss)
    state = (
        Text(f"✗ {printable(each.problem.removeprefix(f'{each.name}/'))}", palette().alert)
        if each.problem
        else Text("whole")
    )
    if each.same_as and not each.problem:
        steps = [name for name in each.same_as if name not in FURTHER_NAMES]
        state = Text(f"= {', '.join(steps or each.same_as)}", palette().faint)
    cells = (
        Text(each.name),
        Text("-" if each.step is None else f"{each.step:,}"),
        Text(f"{short(each.bytes)}B"),
        marked,
        Text(decimals(each.bits_per_byte)),
        Text("-" if each.written is None else duration(now - each.written)),
        Text(KEPT if each.kept else "", palette().good),
        state,
    )
    for cell, column in zip(cells, COLUMNS, strict=True):
        cell.no_wrap = True
        cell.justify = "right" if column.right else "left"
    return cells
