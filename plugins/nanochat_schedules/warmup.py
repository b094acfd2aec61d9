"""The warm-up that every schedule begins with, and the clamping that every schedule ends with."""

from __future__ import annotations

import math
from abc import abstractmethod

from nanochat_framework.contracts.schedule import Schedule
from nanochat_schedules.config import WarmupConfig


class WarmedUp(Schedule):
    """warmup_start + (1 - warmup_start) · step / warmup_steps, then what a subclass says.

    Steps past `total_steps` count as the last, so a run that is continued beyond its end stays where it was (a cosine
    that goes on would climb again). A warm-up longer than the run is cut off by it and never reaches 1.
    """

    def __init__(self, config: WarmupConfig, total_steps: int) -> None:
        super().__init__(total_steps)
        self.warmup_steps, self.warmup_start = config.warmup_steps, config.warmup_start

    def multiplier(self, step: int) -> float:
        """The multiplier at a step >= 0, in [0, 1]."""
        step = min(step, self.total_steps)
        if step < self.warmup_steps:
            return self.warmup_start + (1.0 - self.warmup_start) * step / self.warmup_steps
        return self.after_warmup(step)

    @abstractmethod
    def after_warmup(self, step: int) -> float:
        """The multiplier at warmup_steps <= step <= total_steps."""


def progress(step: int, first: int, last: int) -> float:
    """How far a step is from first to last, in [0, 1]; 0 where the stretch is empty."""
    return min(max((step - first) / (last - first), 0.0), 1.0) if last > first else 0.0


def cosine(fraction: float, low: float) -> float:
    """Half a cosine from 1 at fraction 0 to low at fraction 1."""
    return low + (1.0 - low) / 2.0 * (1.0 + math.cos(math.pi * fraction))


def line(fraction: float, low: float) -> float:
    """A straight line from 1 at fraction 0 to low at fraction 1."""
    return 1.0 - (1.0 - low) * fraction


def root(fraction: float, low: float) -> float:
    """From 1 at fraction 0 to low at fraction 1, steep at first, as the root of the fraction."""
    return 1.0 - (1.0 - low) * math.sqrt(fraction)
