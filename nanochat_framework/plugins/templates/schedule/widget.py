"""Equal stretches, each at a fraction of the one before."""

from __future__ import annotations

from nanochat_framework.contracts.schedule import Schedule

from .config import WidgetConfig


class WidgetSchedule(Schedule):
    """factor^k in the k-th of n_drops + 1 equal stretches, counted from 0. It holds no state: resuming needs none."""

    def __init__(self, config: WidgetConfig, total_steps: int) -> None:
        super().__init__(total_steps)
        self.config = config

    def multiplier(self, step: int) -> float:
        """The multiplier at a step >= 0; the first update is step 1, and past the end it stays as it is."""
        update = min(max(step, 1), self.total_steps) - 1
        return float(self.config.factor ** (update * (self.config.n_drops + 1) // self.total_steps))


def build(config: WidgetConfig, *, total_steps: int) -> WidgetSchedule:
    """Factory of acme/widget."""
    return WidgetSchedule(config, total_steps)
