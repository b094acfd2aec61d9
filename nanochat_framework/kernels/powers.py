"""Power-of-two scales: dividing by them loses no bit."""

from __future__ import annotations

import torch
from torch import Tensor

SMALLEST_EXPONENT = -100
"""Scales stop here: smaller values are rounded more coarsely, and products with 8-bit floats stay in bfloat16's range."""


def power_of_two_scales(largest: Tensor, limit: float) -> Tensor:
    """The least power of two s with largest / s <= limit, at least 2^SMALLEST_EXPONENT; float32, like `largest`.

    NaN and infinity become NaN.
    """
    mantissa, exponent = torch.frexp(largest / limit)
    exponent = torch.where(mantissa == 0.5, exponent - 1, exponent).clamp_min(SMALLEST_EXPONENT)
    scales = torch.ldexp(torch.ones_like(largest), exponent)
    return torch.where(largest.isfinite(), scales, torch.nan)
