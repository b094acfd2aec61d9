"""Settings of acme/widget; imports neither torch nor numpy."""

from __future__ import annotations

from pydantic import Field

from nanochat_framework.config.component import ComponentConfig


class WidgetConfig(ComponentConfig):
    """`nanochat eval MODEL --tasks acme/widget`."""

    role: str = Field(default="matrix", description="Which parameters are counted.")
