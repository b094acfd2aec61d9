"""Configurations of the schedules."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nanochat_framework.config.component import ComponentConfig


class WarmupConfig(ComponentConfig):
    """What every schedule starts with: a straight line up to the full value."""

    warmup_steps: int = Field(
        default=0, ge=0, le=10**9, description="Steps over which the multiplier rises to 1; 0: none."
    )
    warmup_start: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Multiplier at step 0 of the warm-up. 0 suits a learning rate; 0.895 takes a momentum of 0.95 up "
        "from 0.85.",
    )


class ConstantConfig(WarmupConfig):
    """`name = "constant"`: the full value after the warm-up."""


class DecayConfig(WarmupConfig):
    """A schedule that decays to a share of the full value at the last step."""

    min_lr_ratio: float = Field(
        default=0.1, ge=0, le=1, description="Multiplier at the last step and past it, as a share of the full value."
    )


class CosineConfig(DecayConfig):
    """`name = "cosine"`: half a cosine from the end of the warm-up to the last step."""


class LinearConfig(DecayConfig):
    """`name = "linear"`: a straight line from the end of the warm-up to the last step."""

    min_lr_ratio: float = Field(
        default=0.0, ge=0, le=1, description="Multiplier at the last step and past it, as a share of the full value."
    )


class WsdConfig(DecayConfig):
    """`name = "wsd"`: warm-up, stable, decay."""

    stable_fraction: float = Field(
        default=0.8,
        ge=0,
        le=1,
        description="Where the decay begins, as a share of all steps, warm-up included; never inside the warm-up.",
    )
    decay: Literal["cosine", "linear", "sqrt"] = Field(
        default="cosine",
        description="How it falls: half a cosine, a straight line, or 1 - sqrt(share of the decay that is done).",
    )
