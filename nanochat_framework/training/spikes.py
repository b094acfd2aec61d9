"""Which steps to skip because their loss or gradient stands out from those before.

The rule of OLMo-core's `SkipStepOptimizer`: a step is left out when its loss, or its gradient's norm, lies more than
`sigma` standard deviations above the mean of the last `window` steps. Steps that are left out enter the window too, so
that a lasting change of level is accepted after a while.
"""

from __future__ import annotations

import statistics
from collections import deque
from typing import Any


class SpikeGuard:
    """Remembers the last `window` losses and gradient norms; `sigma` = 0 lets everything pass and remembers nothing."""

    def __init__(self, sigma: float, window: int) -> None:
        self.sigma, self.window = sigma, window
        self._losses: deque[float] = deque(maxlen=window)
        self._norms: deque[float] = deque(maxlen=window)

    def is_spike(self, loss: float, grad_norm: float) -> bool:
        """Judge a finite step by those before it, then remember it. Nothing is judged until half a window is known."""
        if not self.sigma:
            return False
        spike = self._stands_out(loss, self._losses) or self._stands_out(grad_norm, self._norms)
        self._losses.append(loss)
        self._norms.append(grad_norm)
        return spike

    def _stands_out(self, value: float, known: deque[float]) -> bool:
        if len(known) < max(2, self.window // 2):
            return False
        return value > statistics.fmean(known) + self.sigma * statistics.stdev(known)

    def state(self) -> dict[str, Any]:
        """The window, as plain JSON data; empty where nothing is remembered."""
        return {"losses": list(self._losses), "grad_norms": list(self._norms)} if self.sigma else {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a state; an empty one starts fresh."""
        self._losses = deque(state.get("losses", ()), maxlen=self.window)
        self._norms = deque(state.get("grad_norms", ()), maxlen=self.window)
