"""Warm-up, stable, decay (Hu et al. 2024, arXiv 2404.06395)."""

from __future__ import annotations

from nanochat_schedules.config import WsdConfig
from nanochat_schedules.warmup import WarmedUp, cosine, line, progress, root

_DECAYS = {"cosine": cosine, "linear": line, "sqrt": root}


class WarmupStableDecay(WarmedUp):
    """1 until step `decay_start`, then from 1 to min over the share p of the decay that is done, by one of three ways.

    cosine is min + (1 - min)/2 · (1 + cos πp), linear 1 - (1 - min) · p, sqrt 1 - (1 - min) · √p (Hägele et al. 2024,
    arXiv 2405.18392).

    The decay starts at floor(stable_fraction · total_steps), or when the warm-up ends where that is later: a decay that
    started inside the warm-up would drop from 1 to mid-decay in one step.
    """

    def __init__(self, config: WsdConfig, total_steps: int) -> None:
        super().__init__(config, total_steps)
        self.min_lr_ratio, self.decay = config.min_lr_ratio, _DECAYS[config.decay]
        # 0.29 · 100 is 28.999999999999996 in floating point; the person who wrote it means 29
        stable = int(config.stable_fraction * total_steps + 1e-9)
        self.decay_start = max(stable, config.warmup_steps)

    def after_warmup(self, step: int) -> float:
        """Stable, then decay."""
        return self.decay(progress(step, self.decay_start, self.total_steps), self.min_lr_ratio)


def build_wsd(config: WsdConfig, *, total_steps: int) -> WarmupStableDecay:
    """Factory of `wsd`."""
    return WarmupStableDecay(config, total_steps)
