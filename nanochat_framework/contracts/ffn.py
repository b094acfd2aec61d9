"""Contract of a channel mixer.

::

    class Gelu(FeedForward):
        def __init__(self, config: NoSettings, *, place: Place) -> None:
            super().__init__()
            self.up = Linear(place.dim, 4 * place.dim)
            self.down = Linear(4 * place.dim, place.dim)

        def forward(self, x):
            return self.down(functional.gelu(self.up(x)))
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class FeedForward(nn.Module, ABC):
    """Mixes channels, each position by itself. Factory: `build(config, *, place: Place)`.

    A model builds one for each block; see `contracts.attention` for `place`, linear maps, roles and `describe`.
    A router's loss (load balance, z) is handed to `model.auxiliary.add_auxiliary_loss` during `forward`.
    """

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """(batch, seq, dim) in the compute dtype, normalised -> (batch, seq, dim), same dtype."""
