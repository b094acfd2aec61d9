"""Settings of acme/widget; imports neither torch nor numpy."""

from __future__ import annotations

from pydantic import Field

from nanochat_framework.config.component import ComponentConfig


class WidgetConfig(ComponentConfig):
    """`[[callback]] name = "acme/widget"`."""

    every: int = Field(default=10, gt=0, description="Steps between measurements.")
