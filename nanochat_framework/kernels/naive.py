"""Naive forms of the operations: always available, and the oracle that every kernel is tested against."""

from __future__ import annotations

import torch
from torch import Tensor


def rms_norm(x: Tensor, weight: Tensor | None, eps: float) -> Tensor:
    """x / sqrt(mean(x²) + eps) · weight over the last dimension, in float32; (..., dim) -> (..., dim), dtype of x."""
    wide = x.float()
    normed = wide * torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + eps)
    if weight is not None:
        normed = normed * weight.float()
    return normed.to(x.dtype)


def quantize_activations(x: Tensor) -> Tensor:
    """Round each row to 8 bits by its largest magnitude: (..., in_features), dtype of x, no gradient.

    a = max|x|, q = clamp(round(127 x / a), -127, 127), result q · a / 127; a row of zeros stays zero.
    """
    wide = x.float()
    largest = wide.abs().amax(dim=-1, keepdim=True).clamp_min(1e-8)
    codes = (wide * (127.0 / largest)).round().clamp(-127.0, 127.0)
    return (codes * (largest / 127.0)).to(x.dtype)
