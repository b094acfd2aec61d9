"""A progress line for long work: rewritten in place on a terminal, silent elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Self, TextIO


class Progress:
    """`with Progress("encoding", total, "MB", scale=1e-6) as bar: bar.advance(n)`; unknown total: counts only."""

    def __init__(
        self, label: str, total: float | None, unit: str, *, scale: float = 1.0, stream: TextIO | None = None
    ) -> None:
        self.label, self.total, self.unit, self.scale = label, total, unit, scale
        self.stream = stream or sys.stderr
        self.done = 0.0
        self._live = self.stream.isatty()
        self._started = time.perf_counter()
        self._drawn = 0.0
        self._width = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._live and self._width:
            self._draw()
            print(file=self.stream, flush=True)

    def advance(self, amount: float) -> None:
        """Count work done; draws at most ten times a second."""
        self.done += amount
        if self._live and time.perf_counter() - self._drawn > 0.1:
            self._draw()

    def _draw(self) -> None:
        self._drawn = time.perf_counter()
        seconds = max(self._drawn - self._started, 1e-9)
        done, rate = self.done * self.scale, self.done * self.scale / seconds
        line = f"{self.label}  {done:,.1f}"
        if self.total:
            filled = round(24 * min(self.done / self.total, 1.0))
            left = (self.total - self.done) / max(self.done / seconds, 1e-9)
            line = f"{self.label}  [{'#' * filled}{'.' * (24 - filled)}] {done:,.1f}/{self.total * self.scale:,.1f}"
            line += f" {self.unit}  {rate:,.1f} {self.unit}/s  {max(left, 0):.0f} s left"
        else:
            line += f" {self.unit}  {rate:,.1f} {self.unit}/s"
        print(f"\r{line:<{self._width}}", end="", file=self.stream, flush=True)
        self._width = len(line)
