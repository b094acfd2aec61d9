"""The token table, and the head that shares its weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from nanochat_framework.model import roles
from nanochat_framework.model.linear import Linear


class TokenEmbedding(nn.Module):
    """Row lookup (vocab_size, dim) that starts the stream of activations in `compute_dtype`.

    `project` is the tied head: hidden · weightᵀ. Weights start normal with standard deviation 0.02, small enough that a
    tied head's first logits are near zero.
    """

    def __init__(self, vocab_size: int, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(vocab_size, dim))
        nn.init.normal_(self.weight, std=0.02)
        self.parameter_roles = {"weight": roles.EMBEDDING}
        self.compute_dtype = torch.float32
        head = Linear(dim, vocab_size, role=roles.EMBEDDING)
        head.weight = self.weight
        self._head = (head,)  # in a tuple, so that it is no submodule: the weight is this module's

    def forward(self, tokens: Tensor) -> Tensor:
        """(batch, seq) int64 -> (batch, seq, dim)."""
        return functional.embedding(tokens, self.weight).to(self.compute_dtype)

    def project(self, hidden: Tensor) -> Tensor:
        """(..., dim) -> (..., vocab_size), the tied head."""
        logits: Tensor = self._head[0](hidden)
        return logits
