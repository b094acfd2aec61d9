"""Feed-forward with squared ReLU (So et al. 2021, arXiv 2109.08668)."""

from __future__ import annotations

from torch import Tensor

from nanochat_ffn.config import Relu2Config
from nanochat_framework.contracts.ffn import FeedForward
from nanochat_framework.model.describe import Place
from nanochat_framework.model.linear import Linear


class Relu2(FeedForward):
    """down(relu(up(x))²)."""

    def __init__(self, config: Relu2Config, place: Place) -> None:
        super().__init__()
        self.up = Linear(place.dim, config.hidden_dim)
        self.down = Linear(config.hidden_dim, place.dim, init_scale=(2 * place.n_layers) ** -0.5)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, seq, dim) -> (batch, seq, dim)."""
        result: Tensor = self.down(self.up(x).relu().square())
        return result


def build_relu2(config: Relu2Config, *, place: Place) -> Relu2:
    """Factory of `relu2`."""
    return Relu2(config, place)
