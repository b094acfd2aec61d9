"""Scales that number formats hold exactly, and how a group's scale is found."""

from __future__ import annotations

import torch
from torch import Tensor

SMALLEST_SCALE = 2.0**-24
"""The least positive float16 (subnormal): a group of zeros has this scale, so that no engine divides by zero."""
LARGEST_SCALE = {8: 65280.0, 11: 65504.0}
"""The largest finite float16 of 8 significant bits, and of all 11."""


def representable(scales: Tensor, bits: int) -> Tensor:
    """The nearest positive finite float16 of `bits` significant bits (8 or 11), as float32. NaN stays NaN.

    8 bits are bfloat16's, so that the scale is exact in every format that products are made in.
    """
    scales = scales.clamp(SMALLEST_SCALE, LARGEST_SCALE[bits])
    return (scales.bfloat16() if bits == 8 else scales).half().float()


def codes_for(weights: Tensor, scales: Tensor, smallest: int, largest: int) -> Tensor:
    """clamp(round(w / s), smallest, largest) in float32, half to even; `scales` broadcasts over `weights`.

    Codes of code · s with the same s are the codes again.
    """
    return (weights / scales).round_().clamp_(smallest, largest)


def magnitude(part: Tensor, rule: str) -> Tensor:
    """What a group's first scale is taken from: (..., width) -> (...), the mean of |w|, or the largest for "absmax"."""
    return part.abs().mean(dim=-1) if rule == "absmean" else part.abs().amax(dim=-1)


def fit(part: Tensor, scales: Tensor, smallest: int, largest: int) -> tuple[Tensor, Tensor]:
    """Σ w q and Σ q² of each group with the codes q that `scales` gives: (..., width), (...) -> (...), (...).

    Their quotient is the scale of least squared error for those codes.
    """
    codes = codes_for(part, scales.unsqueeze(-1), smallest, largest)
    return torch.linalg.vecdot(part, codes), torch.linalg.vecdot(codes, codes)


def better(products: Tensor, squares: Tensor, scales: Tensor, bits: int) -> Tensor:
    """The scale of least squared error, representable; the old one where every code is 0."""
    return representable(torch.where(squares > 0, products / squares, scales), bits)
