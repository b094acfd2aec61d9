"""Settings of acme/widget; imports neither torch nor numpy."""

from __future__ import annotations

from pydantic import Field

from nanochat_framework.config.quantizer_config import CodeRange, QuantizerConfig


class WidgetConfig(QuantizerConfig):
    """`[[quantizer]] name = "acme/widget"`."""

    bits: int = Field(
        default=3, ge=2, le=8, description="Bits of a code: b of them reach from 1 - 2^(b-1) to 2^(b-1) - 1."
    )
    group_size: int = Field(default=64, gt=0, description="Inputs of a row that share a scale.")

    @property
    def largest(self) -> int:
        """The largest code; the smallest is its negative."""
        return int(2 ** (self.bits - 1)) - 1

    def codes(self) -> CodeRange:
        """What codes there are: the planner and exporters ask."""
        return CodeRange("integer", -self.largest, self.largest)

    def group_of(self, in_features: int) -> int:
        """How many inputs of a row share a scale."""
        return self.group_size
