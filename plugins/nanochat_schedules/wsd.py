"""Warm-up, stable, decay (Hu et al. 2024, arXiv 2404.06395), with a cosine decay."""

from __future__ import annotations

from nanochat_schedules.config import WsdConfig
from nanochat_schedules.warmup import WarmedUp, cosine, progress


class WarmupStableDecay(WarmedUp):
    """1 until step `decay_start`, then min + (1 - min)/2 · (1 + cos πp), p the share of the decay that is done.

    The decay starts at floor(stable_fraction · total_steps), or when the warm-up ends where that is later: a decay that
    started inside the warm-up would drop from 1 to mid-decay in one step.
    """

    def __init__(self, config: WsdConfig, total_steps: int) -> None:
        super().__init__(config, total_steps)
        self.min_lr_ratio = config.min_lr_ratio
        # 0.29 · 100 is 28.999999999999996 in floating point; the person who wrote it means 29
        stable = int(config.stable_fraction * total_steps + 1e-9)
        self.decay_start = max(stable, config.warmup_steps)

    def after_warmup(self, step: int) -> float:
        """Stable, then decay."""
        return cosine(progress(step, self.decay_start, self.total_steps), self.min_lr_ratio)


def build_wsd(config: WsdConfig, *, total_steps: int) -> WarmupStableDecay:
    """Factory of `wsd`."""
    return WarmupStableDecay(config, total_steps)
