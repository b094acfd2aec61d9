"""Settings of acme/widget."""

from __future__ import annotations

from pydantic import Field

from nanochat_framework.config.component import ComponentConfig


class WidgetConfig(ComponentConfig):
    """`[[tracker]] name = "acme/widget"`."""

    file: str = Field(default="metrics.tsv", min_length=1, description="Name of the file, in the run's folder.")
    only: tuple[str, ...] = Field(default=(), description="Metrics that are written (`train/loss`, ...); none: all.")
