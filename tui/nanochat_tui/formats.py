"""How figures of runs are written."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nanochat_framework.runs.summary import RunSummary
from nanochat_tui.charts.ticks import duration, short
from nanochat_tui.palette import sign
from nanochat_tui.watch import seconds_left

_EIGHTHS = " ▏▎▍▌▋▊▉█"


def bar(share: float, width: int) -> str:
    """A bar of `width` cells, to an eighth of a cell."""
    eighths = round(8 * width * min(max(share, 0.0), 1.0)) if math.isfinite(share) else 0
    whole, part = divmod(eighths, 8)
    return ("█" * whole + (_EIGHTHS[part] if part else "")).ljust(width, "·")[:width]


def decimals(value: float | None, count: int = 4) -> str:
    """With a fixed number of decimals; `-` where there is none, `NaN` for one that is not."""
    if value is None:
        return "-"
    return f"{value:.{count}f}" if math.isfinite(value) else short(value)


def clock(at: Any) -> str:
    """Day and time of a moment in seconds since 1970; `-` for what is none, as files may hold anything."""
    if at is None:
        return "-"
    try:
        return time.strftime("%m-%d %H:%M:%S", time.localtime(at))
    except (TypeError, ValueError, OverflowError, OSError):
        return "-"


def state(summary: RunSummary) -> str:
    """Sign and word."""
    return f"{sign(summary.state)[0]} {summary.state}"


def progress(summary: RunSummary) -> str:
    """A bar and the step; of a queued run its place and the run before it."""
    if summary.state == "queued" and summary.waits_for:
        return f"{len(summary.waits_for)}. after {summary.waits_for[-1]}"
    if not summary.total_steps:
        return f"step {summary.step:,}"
    done = f"{short(summary.step)}/{short(summary.total_steps)}"
    return f"{bar(summary.step / summary.total_steps, 8)} {done}"


def left(summary: RunSummary) -> str:
    """Time until the end."""
    seconds = seconds_left(summary)
    return "-" if seconds is None else duration(seconds)


def age(summary: RunSummary) -> str:
    """Since it was made."""
    return "-" if summary.created is None else duration(time.time() - summary.created)


def _known(value: float | None) -> float:
    """For sorting: what is not known comes last."""
    return math.inf if value is None or math.isnan(value) else value


@dataclass(frozen=True)
class Column:
    """A column of the table of runs: how a run is sorted by it, and how its cell reads."""

    name: str
    width: int
    key: Callable[[RunSummary], Any]
    text: Callable[[RunSummary], str]
    right: bool = True
    """Aligned to the right."""
    least_screen: int = 0
    """The narrowest screen that has room for it, whatever runs are called."""


BESIDE = 3
"""Cells of a screen that no column has: around the name, and the scroll bar."""
COLUMNS = (
    Column("name", 22, lambda run: run.called, lambda run: run.title, right=False),
    Column("state", 10, lambda run: run.state, state, right=False),
    Column("step", 20, lambda run: run.step / max(run.total_steps, 1), progress, right=False, least_screen=66),
    Column("loss", 8, lambda run: _known(run.loss), lambda run: decimals(run.loss), least_screen=46),
    Column(
        "bits/byte", 9, lambda run: _known(run.bits_per_byte), lambda run: decimals(run.bits_per_byte), least_screen=106
    ),
    Column(
        "tokens/s",
        8,
        lambda run: _known(run.tokens_per_second),
        lambda run: "-" if run.tokens_per_second is None else short(run.tokens_per_second),
        least_screen=84,
    ),
    Column("ETA", 6, lambda run: _known(seconds_left(run)), left, least_screen=76),
    Column("age", 6, lambda run: -(run.created or 0.0), age, least_screen=94),
    Column("tags", 12, lambda run: run.tags, lambda run: " ".join(run.tags), right=False, least_screen=118),
)


def columns(width: int, longest: int | None = None) -> list[Column]:
    """Those that a screen of that width has room for, where the `longest` name takes so many cells (if that is known)."""
    shown = [column for column in COLUMNS if width >= column.least_screen]
    if longest is not None:
        room = width - BESIDE - longest - sum(column.width + 2 for column in shown if column.name != "name")
        for column in sorted((each for each in COLUMNS if each not in shown), key=lambda each: each.least_screen):
            room -= column.width + 2
            if room < 0:
                break
            shown.append(column)
    return [column for column in COLUMNS if column in shown]
