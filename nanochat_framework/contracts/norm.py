"""Contract of a normalisation.

::

    class LayerNorm(Norm):
        def __init__(self, config: NoSettings, *, place: Place) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(place.dim))
            self.parameter_roles = {"weight": roles.NORM}

        def forward(self, x):
            normed = functional.layer_norm(x.float(), x.shape[-1:], self.weight)
            return normed.to(x.dtype)
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Norm(nn.Module, ABC):
    """Normalises over channels. Factory: `build(config, *, place: Place)`.

    A model builds one before each sub-layer, one before the head and, if it is asked to, one after the embedding. Gains
    have the role `norm`. See `contracts.attention` for `place`, roles and `describe`.
    """

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """(..., dim) -> (..., dim), same dtype; statistics are computed in float32."""
