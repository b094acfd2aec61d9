"""Settings of acme/widget; imports neither torch nor numpy."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from nanochat_framework.config.component import ComponentConfig


class WidgetConfig(ComponentConfig):
    """`[[objective]] name = "acme/widget"`."""

    weight: float = Field(default=1e-3, ge=0, description="Weight of the term in the loss.")

    kept_logits: ClassVar[int] = 0
    """Tensors of the size of the logits that `terms` keeps for its backward pass: the memory plan asks."""
