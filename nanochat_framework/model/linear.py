"""The linear map that every component uses: quantisation and precision are applied to it from outside."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nanochat_framework.model import roles
from nanochat_framework.model.weight import QuantizableWeight


class Linear(QuantizableWeight):
    """y = x Wᵀ, W of shape (out_features, in_features), master copy in float32."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        role: str = roles.MATRIX,
        init_scale: float = 1.0,
        heads: int = 1,
    ) -> None:
        """Weights start normal with standard deviation init_scale / sqrt(in_features).

        The outputs belong to `heads` heads, in order and in equal parts: optimizers may treat each head by itself.
        """
        super().__init__(nn.Parameter(torch.empty(out_features, in_features)), role)
        self.parameter_heads = {"weight": heads}
        self.in_features, self.out_features = in_features, out_features
        nn.init.normal_(self.weight, std=init_scale * in_features**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features), dtype of x."""
        return self.product(x)

    def extra_repr(self) -> str:
        """Sizes and role, for printing."""
        return f"{self.in_features} -> {self.out_features}, role={self.parameter_roles['weight']}"


def linear_together(x: Tensor, linears: Sequence[Linear]) -> list[Tensor]:
    """Apply several maps to one input; what they share (rounding the activations) is done once.

    x: (..., in_features) -> one (..., out_features) for each map, the same as calling each.
    """
    first = linears[0]
    if first.quantizer is None or any(linear.quantizer is not first.quantizer for linear in linears):
        return [linear(x) for linear in linears]
    x_rounded = first.rounded(x)
    return [linear.product_of_rounded(x, x_rounded) for linear in linears]
