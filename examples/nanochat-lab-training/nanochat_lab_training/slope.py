"""A panel of the dashboard: how fast the loss still falls."""

from __future__ import annotations

from pathlib import Path

from nanochat_framework.runs.jsonlines import read

SPANS = (10, 100, 1000)
"""Records that an average is of, and that the one before is of."""


def slope_lines(folder: Path) -> list[str]:
    """For each span the mean loss of the last records beside that of as many before them."""
    losses = [record["train/loss"] for record in read(folder / "metrics.jsonl") if "train/loss" in record]
    lines = [_line(losses, span) for span in SPANS if len(losses) >= 2 * span]
    return lines or [f"{len(losses)} losses so far; {2 * SPANS[0]} are needed"]


def _line(losses: list[float], span: int) -> str:
    now, before = sum(losses[-span:]) / span, sum(losses[-2 * span : -span]) / span
    return f"last {span:>5}   {now:.4f}   {'falls' if now < before else 'rises'} by {abs(before - now):.4f}"
