"""Alerts: what a person should know of a run at once, as an event and one line; and the rules that notice it."""

from __future__ import annotations

import contextlib
import math
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from nanochat_framework.errors import NanochatError
from nanochat_framework.runs.events import EventLog


class AlertDesk:
    """Writes alerts, from any thread; one of a kind at most every `repeat_seconds`."""

    def __init__(self, events: EventLog, say: Callable[[str], None], repeat_seconds: float) -> None:
        self._events, self._say, self._repeat = events, say, repeat_seconds
        self._last: dict[str, float] = {}
        self._held_back: dict[str, int] = {}
        self._lock = threading.Lock()

    def alert(self, kind: str, message: str, **facts: Any) -> None:
        """Tell it, unless the same kind was told a short while ago."""
        now = time.monotonic()
        with self._lock:
            if kind in self._last and now - self._last[kind] < self._repeat:
                self._held_back[kind] = self._held_back.get(kind, 0) + 1
                return
            self._last[kind] = now
            held_back = self._held_back.pop(kind, 0)
        more = f" (and {held_back} times since the alert before)" if held_back else ""
        self._say(f"alert: {message}{more}")
        with contextlib.suppress(OSError, NanochatError):  # a full disk is one of the things to tell
            self._events.write("alert", alert=kind, message=message, held_back=held_back, **facts)


class LossWatch:
    """Tells when the loss has risen far above its recent minimum.

    It is smoothed (0.95 of the value before), so that a single step is no rise; the minimum is that of the last `window`
    steps. Losses that are not finite are passed over: they changed no weight.
    """

    def __init__(self, rise: float, window: int = 1000, settle: int = 20) -> None:
        self._rise, self._window, self._settle = rise, window, settle
        self._mean = 0.0
        self._steps = 0
        self._lowest: deque[tuple[int, float]] = deque()  # ascending, each the minimum of what follows the one before

    def rise(self, loss: float) -> tuple[float, float] | None:
        """After one more step: the smoothed loss and its recent minimum, where the first lies `rise` above the other."""
        if not self._rise or not math.isfinite(loss):
            return None
        self._steps += 1
        self._mean = 0.95 * self._mean + 0.05 * loss
        smoothed = self._mean / (1 - 0.95**self._steps)
        if self._steps < self._settle:
            return None
        while self._lowest and self._lowest[-1][1] >= smoothed:
            self._lowest.pop()
        self._lowest.append((self._steps, smoothed))
        while self._lowest[0][0] <= self._steps - self._window:
            self._lowest.popleft()
        lowest = self._lowest[0][1]
        return (smoothed, lowest) if smoothed > lowest + self._rise else None


class StallWatch:
    """Tells when a training has shown no sign of life for far longer than it usually takes. Two threads use it.

    Signs are the ends of steps, evaluations, checkpoints and samples. Allowed is the largest of `least_seconds`, `factor`
    usual steps (the median of the last 50), and twice the longest silence that ended by itself; before the second step,
    when code is compiled and caches are cold, `FIRST_SECONDS`.
    """

    FIRST_SECONDS = 900.0

    def __init__(self, factor: float, least_seconds: float) -> None:
        self._factor, self._least = factor, least_seconds
        self._steps: deque[float] = deque(maxlen=50)
        self._stepped: float | None = None
        self._longest = 0.0
        self._alive: float | None = None

    def begin(self, now: float) -> None:
        """The training starts, or goes on after a pause; what lay before is not timed."""
        self._alive, self._stepped = now, None

    def sign(self, now: float, *, step: bool = False) -> None:
        """Something was finished; `step`: a step."""
        if self._alive is not None and self._steps:
            self._longest = max(self._longest, now - self._alive)
        if step and self._stepped is not None:
            self._steps.append(now - self._stepped)
        self._alive = now
        self._stepped = now if step else None  # an evaluation between two steps is part of neither

    def allowed(self) -> float:
        """Seconds of silence that are no stall."""
        if not self._steps:
            return max(self.FIRST_SECONDS, self._least)
        return max(self._least, self._factor * statistics.median(list(self._steps)), 2 * self._longest)

    def silence(self, now: float) -> float | None:
        """Seconds since the last sign, where they are more than allowed."""
        if not self._factor or self._alive is None:
            return None
        silent = now - self._alive
        return silent if silent > self.allowed() else None
