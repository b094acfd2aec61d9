"""Settings of acme/widget."""

from __future__ import annotations

from pydantic import Field

from nanochat_framework.config.component import ComponentConfig


class WidgetConfig(ComponentConfig):
    """`[schedule] name = "acme/widget"`."""

    n_drops: int = Field(default=3, ge=0, description="How often the multiplier falls, at equal distances.")
    factor: float = Field(default=0.3, gt=0, le=1, description="What each fall multiplies it by.")
