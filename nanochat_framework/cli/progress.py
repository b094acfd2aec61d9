"""A progress line for long work: rewritten in place on a terminal, written now and then elsewhere."""

from __future__ import annotations

import os
import shutil
import sys
import time
from typing import Self, TextIO

_REDRAW_SECONDS = 0.1
_PLAIN_LINE_SECONDS = 30.0
"""Where there is no terminal (a log file, CI) a line appears this often; short work leaves none."""
SECONDS_VARIABLE = "NANOCHAT_PROGRESS_SECONDS"
"""Environment variable by which a program that follows the lines asks for them more often, from the start to the end."""


def _asked_seconds() -> float | None:
    """Seconds between lines by the environment; None if it does not say."""
    try:
        return max(float(os.environ[SECONDS_VARIABLE]), 0.0)
    except (KeyError, ValueError):
        return None


def stage(line: str) -> None:
    """Say on stderr what begins now, where somebody follows: at a terminal, or with the environment variable."""
    if sys.stderr.isatty() or _asked_seconds() is not None:
        print(f"{line}…", file=sys.stderr, flush=True)


class Progress:
    """`with Progress("encoding", total, "MB", scale=1e-6) as bar: bar.advance(n)`; unknown total: counts only."""

    def __init__(
        self, label: str, total: float | None, unit: str, *, scale: float = 1.0, stream: TextIO | None = None
    ) -> None:
        self.label, self.total, self.unit, self.scale = label, total, unit, scale
        self.stream = stream or sys.stderr
        self.done = 0.0
        self._live = self.stream.isatty()
        self._followed = _asked_seconds()
        self._started = self._drawn = time.perf_counter()
        self._width = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._live and self._width:
            self._draw()
            print(file=self.stream, flush=True)
        elif self._followed is not None and not self._live:
            self._draw()

    def advance(self, amount: float) -> None:
        """Count work done; draws at most ten times a second."""
        self.done += amount
        now = time.perf_counter()
        often = _REDRAW_SECONDS if self._live else _PLAIN_LINE_SECONDS if self._followed is None else self._followed
        if now - self._drawn > often:
            self._draw()

    def _draw(self) -> None:
        self._drawn = time.perf_counter()
        if not self._live:
            print(self._line(bar=False), file=self.stream, flush=True)
            return
        line = self._line(bar=True)[: shutil.get_terminal_size().columns - 1]  # a wrapped line cannot be rewritten
        print(f"\r{line:<{self._width}}", end="", file=self.stream, flush=True)
        self._width = len(line)

    def _line(self, *, bar: bool) -> str:
        seconds = max(time.perf_counter() - self._started, 1e-9)
        done, rate = self.done * self.scale, self.done * self.scale / seconds
        if not self.total:
            return f"{self.label}  {done:,.1f} {self.unit}  {rate:,.1f} {self.unit}/s"
        filled = round(24 * min(self.done / self.total, 1.0))
        left = (self.total - self.done) / max(self.done / seconds, 1e-9)
        drawn = f"[{'#' * filled}{'.' * (24 - filled)}] " if bar else ""
        total = self.total * self.scale
        return f"{self.label}  {drawn}{done:,.1f}/{total:,.1f} {self.unit}  {rate:,.1f} {self.unit}/s  {max(left, 0):.0f} s left"
