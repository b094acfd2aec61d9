"""Contract of a channel mixer."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class FeedForward(nn.Module, ABC):
    """Mixes channels, each position by itself. Factory: `build(config, *, place: Place)`.

    A router's loss (load balance, z) is handed to `model.auxiliary.add_auxiliary_loss` during `forward`.
    """

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """(batch, seq, dim), normalised -> (batch, seq, dim)."""
