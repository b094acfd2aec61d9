"""Contract of a normalisation."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Norm(nn.Module, ABC):
    """Normalises over channels. Factory: `build(config, *, place: Place)`."""

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """(..., dim) -> (..., dim), same dtype; statistics are computed in float32."""
