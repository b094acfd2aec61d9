"""Settings that may change while a run trains (`nanochat runs set`); everything that uses one reads it here, every step."""

from __future__ import annotations

from dataclasses import dataclass

from nanochat_framework.config.run_config import RunConfig


@dataclass(slots=True)
class LiveSettings:
    """A field for each key of `runs.control.SETTABLE`, which says what it is; at the start what the configuration says."""

    train_log_every: int
    checkpoint_every: int
    eval_every: int
    lr_scale: float = 1.0

    @classmethod
    def of(cls, config: RunConfig) -> LiveSettings:
        """Those of a configuration."""
        return cls(config.train.log_every, config.checkpoint.every, config.eval.every)

    def change(self, key: str, value: float) -> None:
        """Change one, by its key."""
        setattr(self, key.replace(".", "_"), value)
