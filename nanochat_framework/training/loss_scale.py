"""The factor that keeps fp16 gradients from vanishing, and that shrinks when they overflow.

The rule is that of `torch.amp.GradScaler` (Micikevicius et al. 2017, arXiv 1710.03740, section 3.2): start high; halve
at every step whose gradients are not finite, which is skipped; double after `GROWTH_INTERVAL` good steps in a row.
torch's own class drives torch's optimizers; ours get their gradients already divided by the factor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

INITIAL = 2.0**16
GROWTH_INTERVAL = 2000
SMALLEST = 2.0**-14


@dataclass
class LossScale:
    """`factor` multiplies the loss before backward. With `dynamic` off it is 1 for ever (fp32, bf16)."""

    dynamic: bool
    factor: float = 1.0
    good_steps: int = 0

    @classmethod
    def for_precision(cls, precision: str) -> LossScale:
        """Dynamic for fp16 only."""
        return cls(True, INITIAL) if precision == "fp16" else cls(False)

    def update(self, finite: bool) -> None:
        """After a step: whether its gradients were finite."""
        if not self.dynamic:
            return
        if not finite:
            self.factor, self.good_steps = max(self.factor / 2, SMALLEST), 0
            return
        self.good_steps += 1
        if self.good_steps == GROWTH_INTERVAL:
            self.factor, self.good_steps = self.factor * 2, 0

    def state(self) -> dict[str, Any]:
        """What a resume needs; empty where there is nothing to scale."""
        return {"factor": self.factor, "good_steps": self.good_steps} if self.dynamic else {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a state; an empty one (a checkpoint of another precision) starts fresh."""
        if self.dynamic and state:
            self.factor, self.good_steps = float(state["factor"]), int(state["good_steps"])
