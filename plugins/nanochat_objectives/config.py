"""Configurations of the objectives."""

from __future__ import annotations

from pydantic import Field

from nanochat_framework.config.component import ComponentConfig


class ZLossConfig(ComponentConfig):
    """`name = "z_loss"`."""

    weight: float = Field(default=1e-4, ge=0, description="Factor of the term in the loss.")


class LabelSmoothingConfig(ComponentConfig):
    """`name = "label_smoothing"`."""

    weight: float = Field(
        default=0.1,
        gt=0,
        lt=1,
        description="Share of the target's probability that is spread evenly over the vocabulary (epsilon).",
    )


class EntropyConfig(ComponentConfig):
    """`name = "entropy"`."""

    weight: float = Field(
        default=0.0,
        description="Factor of the mean entropy (nats) in the loss: negative rewards spread-out predictions, positive "
        "sharp ones; 0 only logs it as train/entropy.",
    )
