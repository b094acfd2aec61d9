"""How long a training takes at a given speed, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nanochat_framework.config.phases import planned_tokens, steps_within, training_phases
from nanochat_framework.config.run_config import OPEN_END, RunConfig
from nanochat_framework.planning.flops import TRAINING_PER_FORWARD

USUAL_MFU = 0.4
"""Model FLOPs utilisation if none is stated: what well-tuned training of small models reaches on one GPU."""


@dataclass(frozen=True)
class Speed:
    """Training tokens per second, and where the figure comes from."""

    tokens_per_second: float
    source: str


@dataclass(frozen=True)
class Duration:
    """Seconds of a whole run: training steps and held-out evaluations; writing files and starting up are left out."""

    speed: Speed
    training_seconds: float
    evaluation_seconds: float
    price_per_hour: float | None

    @property
    def seconds(self) -> float:
        """In all."""
        return self.training_seconds + self.evaluation_seconds

    @property
    def cost(self) -> float | None:
        """In the currency of the price; None without one."""
        return None if self.price_per_hour is None else self.price_per_hour * self.seconds / 3600

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "tokens_per_second": self.speed.tokens_per_second,
            "source": self.speed.source,
            "training_seconds": self.training_seconds,
            "evaluation_seconds": self.evaluation_seconds,
            "seconds": self.seconds,
            "price_per_hour": self.price_per_hour,
            "cost": self.cost,
        }


def speed_of_device(flops_per_second: float, mfu: float, config: RunConfig, training_flops: float) -> Speed:
    """Speed on a device of so many operations per second (its peak) at a utilisation of `mfu`, 0 to 1.

    `training_flops` are the run's, as `planning.flops` counts them: 3 x forward, causal attention.
    """
    tokens = planned_tokens(config) * flops_per_second * mfu / training_flops
    return Speed(tokens, f"{flops_per_second / 1e12:g} TFLOP/s at an MFU of {mfu:g}")


def duration(config: RunConfig, speed: Speed, price_per_hour: float | None = None) -> Duration:
    """Time and cost of a whole run; an evaluated token costs a third of a trained one (no backward pass)."""
    return Duration(
        speed=speed,
        training_seconds=planned_tokens(config) / speed.tokens_per_second,
        evaluation_seconds=evaluated_tokens(config) / TRAINING_PER_FORWARD / speed.tokens_per_second,
        price_per_hour=price_per_hour,
    )


def with_steps_of_hours(config: RunConfig, speed: Speed) -> RunConfig:
    """The configuration with the steps that `train.max_hours` leaves time for at a speed, evaluations included.

    Unchanged where something else decides. Schedules that end with the run have the steps that training would fix.
    """
    hours = config.train.max_hours
    if config.train.steps is not None or hours is None:
        return config

    def with_steps(steps: int) -> RunConfig:
        train = config.train.model_copy(update={"steps": max(1, min(steps, OPEN_END)), "max_hours": None})
        return config.model_copy(update={"train": train})

    seconds = 3600.0 * hours
    alone = with_steps(steps_within(config, int(seconds * speed.tokens_per_second)))
    return with_steps(int(alone.train.most_steps * min(1.0, seconds / duration(alone, speed).seconds)))


def evaluated_tokens(config: RunConfig) -> int:
    """Held-out tokens that the run scores, at most (a short held-out set has fewer)."""
    every = config.eval.every
    times = training_phases(config)[-1].end_step // every if every else 0
    return times * config.eval.batches * config.train.batch_size * config.data.seq_len
