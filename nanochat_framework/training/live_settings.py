"""Settings that may change while a run trains (`nanochat runs set`); everything that uses one reads it here, every step."""

from __future__ import annotations

from dataclasses import dataclass

from nanochat_framework.config.run_config import RunConfig

_FIELDS = {
    "lr_scale": "lr_scale",
    "train.log_every": "log_every",
    "checkpoint.every": "checkpoint_every",
    "eval.every": "eval_every",
}


@dataclass
class LiveSettings:
    """At the start what the configuration says. Steps, but for `lr_scale`: a factor of every learning rate."""

    log_every: int
    checkpoint_every: int
    eval_every: int
    lr_scale: float = 1.0

    @classmethod
    def of(cls, config: RunConfig) -> LiveSettings:
        """Those of a configuration."""
        return cls(config.train.log_every, config.checkpoint.every, config.eval.every)

    def change(self, key: str, value: float) -> None:
        """Change one, by a key of `runs.control.SETTABLE`."""
        setattr(self, _FIELDS[key], value)
