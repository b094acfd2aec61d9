"""Root-mean-square normalisation (Zhang & Sennrich 2019, arXiv 1910.07467)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nanochat_framework.contracts.norm import Norm
from nanochat_framework.kernels.table import active
from nanochat_framework.model import roles
from nanochat_framework.model.describe import Place
from nanochat_models.config import RmsNormConfig


class RmsNorm(Norm):
    """x / sqrt(mean(x²) + eps) · weight, computed in float32; without affine the weight is 1 and is not stored."""

    weight: nn.Parameter | None

    def __init__(self, dim: int, eps: float, affine: bool) -> None:
        super().__init__()
        self.eps = eps
        self.kernels = active()
        self.weight = nn.Parameter(torch.ones(dim)) if affine else None
        self.parameter_roles = {"weight": roles.NORM} if affine else {}

    def forward(self, x: Tensor) -> Tensor:
        """(..., dim) -> (..., dim)."""
        normed: Tensor = self.kernels.choose("rms_norm", x.device.type).call(x, self.weight, self.eps)
        return normed


def build_rms_norm(config: RmsNormConfig, *, place: Place) -> RmsNorm:
    """Factory of `rms`."""
    return RmsNorm(place.dim, config.eps, config.affine)
