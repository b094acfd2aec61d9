"""Settings of acme/widget; imports neither torch nor numpy."""

from __future__ import annotations

from typing import ClassVar

from nanochat_framework.config.component import ComponentConfig, scheduled


class WidgetConfig(ComponentConfig):
    """`[[optimizer]] name = "acme/widget"`.

    Fields made with `scheduled` may follow a schedule over the steps.
    """

    lr: float = scheduled("Learning rate: step taken along the averaged gradient.", default=0.1, ge=0)
    momentum: float = scheduled("Share of the average that is kept at each step.", default=0.9, ge=0, lt=1)
    weight_decay: float = scheduled("Each step takes lr · weight_decay of the weight away.", default=0.0, ge=0)

    state_bytes_per_parameter: ClassVar[float] = 4
    """One float32 tensor of the weight's size: the memory plan asks."""
