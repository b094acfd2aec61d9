"""Gated feed-forward with SiLU (Shazeer 2020, arXiv 2002.05202)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from nanochat_ffn.config import SwigluConfig
from nanochat_framework.contracts.ffn import FeedForward
from nanochat_framework.model.describe import Place
from nanochat_framework.model.linear import Linear, linear_together


class Swiglu(FeedForward):
    """down(silu(gate(x)) · up(x))."""

    def __init__(self, config: SwigluConfig, place: Place) -> None:
        super().__init__()
        self.gate = Linear(place.dim, config.hidden_dim)
        self.up = Linear(place.dim, config.hidden_dim)
        self.down = Linear(config.hidden_dim, place.dim, init_scale=(2 * place.n_layers) ** -0.5)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, seq, dim) -> (batch, seq, dim)."""
        gate, up = linear_together(x, (self.gate, self.up))
        result: Tensor = self.down(functional.silu(gate) * up)
        return result


def build_swiglu(config: SwigluConfig, *, place: Place) -> Swiglu:
    """Factory of `swiglu`."""
    return Swiglu(config, place)
