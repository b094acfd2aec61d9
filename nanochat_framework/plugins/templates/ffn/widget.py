"""Two maps with GELU between them (Hendrycks & Gimpel 2016, arXiv 1606.08415), as in GPT-2."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from nanochat_framework.contracts.ffn import FeedForward
from nanochat_framework.model.describe import Place
from nanochat_framework.model.linear import Linear

from .config import WidgetConfig


class WidgetFeedForward(FeedForward):
    """down(gelu(up(x))). `Linear` is the framework's: precision and quantizers are applied to it from outside."""

    def __init__(self, config: WidgetConfig, place: Place) -> None:
        super().__init__()
        self.up = Linear(place.dim, config.hidden_dim)
        self.down = Linear(config.hidden_dim, place.dim, init_scale=(2 * place.n_layers) ** -0.5)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, seq, dim), normalised -> (batch, seq, dim)."""
        result: Tensor = self.down(functional.gelu(self.up(x)))
        return result


def build(config: WidgetConfig, *, place: Place) -> WidgetFeedForward:
    """Factory of acme/widget."""
    return WidgetFeedForward(config, place)
