"""Layer normalisation (Ba et al. 2016, arXiv 1607.06450) without its bias."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from nanochat_framework.contracts.norm import Norm
from nanochat_framework.model import roles
from nanochat_framework.model.describe import Place

from .config import WidgetConfig


class WidgetNorm(Norm):
    """(x - mean) / sqrt(variance + eps) · weight, in float32."""

    def __init__(self, config: WidgetConfig, place: Place) -> None:
        super().__init__()
        self.eps = config.eps
        self.weight = nn.Parameter(torch.ones(place.dim))
        # Every parameter says what it is for: optimizers and quantizers choose by role.
        self.parameter_roles = {"weight": roles.NORM}

    def forward(self, x: Tensor) -> Tensor:
        """(..., dim) -> (..., dim), same dtype."""
        normed = functional.layer_norm(x.float(), x.shape[-1:], self.weight, eps=self.eps)
        return normed.to(x.dtype)


def build(config: WidgetConfig, *, place: Place) -> WidgetNorm:
    """Factory of acme/widget."""
    return WidgetNorm(config, place)
