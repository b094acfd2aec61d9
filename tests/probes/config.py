"""Configurations of the probes, apart from what computes."""

from __future__ import annotations

from pydantic import Field

from nanochat_framework.config.component import ComponentConfig, PartConfig


class RecurrentConfig(PartConfig):
    """No settings, and no lowering: it describes itself as opaque."""


class Top2Config(PartConfig):
    """Sizes."""

    n_experts: int = Field(default=4, gt=1, description="Experts in a layer.")
    hidden_dim: int = Field(default=32, gt=0, description="Inner width of an expert, in channels.")
    balance_weight: float = Field(default=0.01, ge=0, description="Weight of the load-balance loss.")


class TwoAheadConfig(ComponentConfig):
    """Its weight."""

    weight: float = Field(default=0.3, ge=0, description="Weight in the loss.")


class TwoStreamsConfig(PartConfig):
    """No settings."""
