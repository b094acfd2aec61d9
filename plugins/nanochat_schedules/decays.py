"""Schedules of one stretch after the warm-up: cosine (Loshchilov & Hutter 2016, arXiv 1608.03983), line, level."""

from __future__ import annotations

from nanochat_schedules.config import ConstantConfig, CosineConfig, DecayConfig, LinearConfig
from nanochat_schedules.warmup import WarmedUp, cosine, line, progress


class Decay(WarmedUp):
    """Falls from 1 at the end of the warm-up to min_lr_ratio at the last step."""

    def __init__(self, config: DecayConfig, total_steps: int) -> None:
        super().__init__(config, total_steps)
        self.min_lr_ratio = config.min_lr_ratio

    def progress(self, step: int) -> float:
        """Share of the decay that is done."""
        return progress(step, self.warmup_steps, self.total_steps)


class Cosine(Decay):
    """min + (1 - min)/2 · (1 + cos πp)."""

    def after_warmup(self, step: int) -> float:
        """Half a cosine."""
        return cosine(self.progress(step), self.min_lr_ratio)


class Linear(Decay):
    """1 - (1 - min) · p."""

    def after_warmup(self, step: int) -> float:
        """A straight line."""
        return line(self.progress(step), self.min_lr_ratio)


class Constant(WarmedUp):
    """1."""

    def after_warmup(self, step: int) -> float:
        """The full value."""
        return 1.0


def build_cosine(config: CosineConfig, *, total_steps: int) -> Cosine:
    """Factory of `cosine`."""
    return Cosine(config, total_steps)


def build_linear(config: LinearConfig, *, total_steps: int) -> Linear:
    """Factory of `linear`."""
    return Linear(config, total_steps)


def build_constant(config: ConstantConfig, *, total_steps: int) -> Constant:
    """Factory of `constant`."""
    return Constant(config, total_steps)
