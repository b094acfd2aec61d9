"""Settings of acme/widget; imports neither torch nor numpy."""

from __future__ import annotations

from pydantic import Field

from nanochat_framework.config.component import ComponentConfig


class WidgetConfig(ComponentConfig):
    """`nanochat prepare-data --source acme/widget --source-option key=value`."""

    paths: tuple[str, ...] = Field(min_length=1, description="Text files.")
    shortest: int = Field(default=1, ge=1, description="Paragraphs with fewer bytes are left out.")
