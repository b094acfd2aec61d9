"""Easy tokens are not learned from (after Collider, Chai et al. 2025, arXiv 2502.00340)."""

from __future__ import annotations

from torch import Tensor

from nanochat_framework.contracts.objective import TokenFilter
from nanochat_objectives.config import ColliderConfig


class Collider(TokenFilter):
    """Drops tokens whose cross-entropy is below a fixed number of nats.

    Collider itself ranks the tokens of a batch by the loss that a reference model leaves; ranks within a batch depend on
    its size, and a threshold does not. A loss that is no number is kept, so that the trainer sees it.
    """

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold

    def keep(self, losses: Tensor) -> Tensor:
        """(rows,) float32, nats -> (rows,) bool."""
        return ~(losses < self.threshold)


def build_collider(config: ColliderConfig) -> Collider:
    """Factory of `collider`."""
    return Collider(config.threshold)
