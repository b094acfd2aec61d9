"""Settings of acme/widget; imports neither torch nor numpy."""

from __future__ import annotations

from pydantic import Field

from nanochat_framework.config.quantizer_config import CodeRange, QuantizerConfig


class WidgetConfig(QuantizerConfig):
    """`[[quantizer]] name = "acme/widget"`."""

    group_size: int = Field(default=64, gt=0, description="Inputs of a row that share a scale.")

    def codes(self) -> CodeRange:
        """What codes there are: the planner and exporters ask."""
        return CodeRange("integer", -1, 1)

    def group_of(self, in_features: int) -> int:
        """How many inputs of a row share a scale."""
        return self.group_size
