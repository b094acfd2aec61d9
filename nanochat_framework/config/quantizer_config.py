"""What a quantizer's configuration says about itself without torch: to the planner, to exporters and to the checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nanochat_framework.config.component import ComponentConfig


@dataclass(frozen=True)
class CodeRange:
    """The values that codes may have: whole numbers, or the floats of an 8-bit format, from `smallest` to `largest`."""

    kind: Literal["integer", "e4m3", "e5m2"]
    smallest: int
    largest: int

    @property
    def bits(self) -> float:
        """Information in one code, at most: log2 of the number of whole numbers, 8 for floats."""
        from math import log2

        return log2(self.largest - self.smallest + 1) if self.kind == "integer" else 8.0


class QuantizerConfig(ComponentConfig):
    """Configuration of a quantizer. What is not overridden means: nothing is known, nothing is learned."""

    def codes(self) -> CodeRange | None:
        """The range of the codes; None if it is not known beforehand."""
        return None

    def group_of(self, in_features: int) -> int | None:
        """How many inputs of a row share a scale; None if it is not known."""
        return None

    def rounds_activations(self) -> bool:
        """Whether the inputs of a quantised map are rounded too."""
        return False

    def kept_bytes(self) -> int:
        """Bytes kept for each weight beside its values, while training."""
        return 0

    def scale_parameters(self, shape: tuple[int, ...]) -> tuple[int, ...] | None:
        """Shape of the parameters that a weight of this shape (out_features, in_features) gets; None: none."""
        return None
