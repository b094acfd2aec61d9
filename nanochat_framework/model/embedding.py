"""The token table, and the head that shares its weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from nanochat_framework.model import roles
from nanochat_framework.model.weight import QuantizableWeight


class TokenEmbedding(QuantizableWeight):
    """Row lookup (vocab_size, dim) that starts the stream of activations in `compute_dtype`.

    `project` is the tied head: hidden · weightᵀ. Weights start normal with standard deviation `std`; 0.02 is small enough
    that a tied head's first logits are near zero. A quantised table is looked up in its dequantised rows, and the tied head
    multiplies by the same.
    """

    def __init__(self, vocab_size: int, dim: int, *, std: float = 0.02) -> None:
        super().__init__(nn.Parameter(torch.empty(vocab_size, dim)), roles.EMBEDDING)
        nn.init.normal_(self.weight, std=std)
        self.compute_dtype = torch.float32

    def forward(self, tokens: Tensor) -> Tensor:
        """(batch, seq) int64 -> (batch, seq, dim)."""
        rows = functional.embedding(tokens, self.weight)
        if self.quantizer is not None:
            apply: Any = _InPlaceOf.apply
            rows = apply(rows, functional.embedding(tokens, self.prepared(self.compute_dtype)))
        return rows.to(self.compute_dtype)

    def project(self, hidden: Tensor) -> Tensor:
        """(..., dim) -> (..., vocab_size), the tied head."""
        return self.product(hidden)


class _InPlaceOf(torch.autograd.Function):
    """The values of one tensor, the gradient to another."""

    @staticmethod
    def forward(ctx: Any, original: Tensor, values: Tensor) -> Tensor:
        ctx.dtype = original.dtype
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0].to(ctx.dtype), None
