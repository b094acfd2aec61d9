"""Settings of acme/widget; imports neither torch nor numpy."""

from __future__ import annotations

from pydantic import Field

from nanochat_framework.config.component import ComponentConfig


class WidgetConfig(ComponentConfig):
    """`nanochat export MODEL --to acme/widget --option key=value`."""

    indent: int = Field(default=0, ge=0, le=8, description="Spaces of each level; 0 writes one line.")


class WidgetImporterConfig(ComponentConfig):
    """Reading has no settings."""
