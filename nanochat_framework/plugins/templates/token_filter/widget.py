"""The trimmed loss: what is predicted worst is mostly noise (after Kang & Hashimoto 2020, arXiv 2004.14589)."""

from __future__ import annotations

from torch import Tensor

from nanochat_framework.contracts.objective import TokenFilter

from .config import WidgetConfig


class WidgetFilter(TokenFilter):
    """Drops tokens above a fixed number of nats. A loss that is no number is kept, so that the trainer sees it."""

    def __init__(self, config: WidgetConfig) -> None:
        self.largest_loss = config.largest_loss

    def keep(self, losses: Tensor) -> Tensor:
        """(rows,) float32, nats -> (rows,) bool. Each token is judged by itself, so that no batch size matters."""
        return ~(losses > self.largest_loss)


def build(config: WidgetConfig) -> WidgetFilter:
    """Factory of acme/widget."""
    return WidgetFilter(config)
