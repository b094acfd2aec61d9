"""Configurations of the objectives."""

from __future__ import annotations

from pydantic import Field

from nanochat_framework.config.component import ComponentConfig


class ZLossConfig(ComponentConfig):
    """`name = "z_loss"`."""

    weight: float = Field(default=1e-4, ge=0, description="Factor of the term in the loss.")
