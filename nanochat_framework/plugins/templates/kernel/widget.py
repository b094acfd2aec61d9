"""The root-mean-square norm as torch has it."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from nanochat_framework.config.component import ComponentConfig
from nanochat_framework.contracts.kernel import Kernel


def rms_norm(x: Tensor, weight: Tensor | None, eps: float) -> Tensor:
    """As `nanochat_framework.kernels.naive.rms_norm`, whose signature and result every kernel of this operation has.

    x / sqrt(mean(x²) + eps) · weight over the last dimension, in float32: (..., dim) -> (..., dim), dtype of x.
    """
    wide = None if weight is None else weight.float()
    return functional.rms_norm(x.float(), x.shape[-1:], wide, eps).to(x.dtype)


def build(config: ComponentConfig) -> Kernel:
    """Factory of rms_norm/acme_widget."""
    return rms_norm
