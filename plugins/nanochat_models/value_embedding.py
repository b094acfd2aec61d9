"""Value embeddings: a row of each token that joins the values of attention, in nanochat's form of 2026.

They go back to value residuals (Zhou et al. 2024, arXiv 2410.17897) and the tables of modded-nanogpt.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nanochat_framework.model import roles
from nanochat_framework.model.describe import Place
from nanochat_framework.model.embedding import TokenEmbedding
from nanochat_framework.model.linear import Linear
from nanochat_models.value_embeddings import ValueEmbeddingsConfig

WIDEST_GATE_WEIGHT = 0.02
"""Gates start with weights between 0 and this, so all but half open."""


class ValueEmbedding(nn.Module):
    """scale · σ(gate(x[:channels])) · table[token], with one gate for each value head."""

    def __init__(self, config: ValueEmbeddingsConfig, place: Place, vocab_size: int, heads: tuple[int, int]) -> None:
        super().__init__()
        self.n_heads, self.head_dim = heads
        self.scale = config.gate_scale
        self.table = TokenEmbedding(vocab_size, self.n_heads * self.head_dim, std=place.dim**-0.5)
        self.gate = Linear(config.gate_channels, self.n_heads, role=roles.GATE)
        nn.init.uniform_(self.gate.weight, 0.0, WIDEST_GATE_WEIGHT)

    def forward(self, tokens: Tensor, x: Tensor) -> Tensor:
        """What joins the values.

        Args:
            tokens: (batch, seq) int64.
            x: (batch, seq, dim), what attention reads.

        Returns:
            (batch, seq, n_heads · head_dim), dtype of x.
        """
        opened = self.scale * torch.sigmoid(self.gate(x[..., : self.gate.in_features]))
        rows: Tensor = self.table(tokens).unflatten(-1, (self.n_heads, self.head_dim))
        return (opened[..., None] * rows).flatten(-2)
