"""Products of 8-bit floats on GPUs that multiply them (`torch._scaled_mm`, a scale for each row of both operands)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from nanochat_framework.config.component import ComponentConfig
from nanochat_framework.contracts.kernel import Kernel
from nanochat_framework.kernels.powers import power_of_two_scales

_MULTIPLE = 16
"""Sizes that the matrix units take."""
_LARGEST = 448.0


def scaled_mm(x: Tensor, weight: Tensor, codes: Tensor, scales: Tensor) -> Tensor:
    """As `kernels.naive.fp8_linear`, in bfloat16 with e4m3 codes; anything else is left to the ordinary product.

    The rows of x are values of e4m3 times a power of two, so finding their codes again is exact.
    """
    out_features, in_features = codes.shape
    fits = x.dtype == torch.bfloat16 and codes.dtype == torch.float8_e4m3fn
    if not fits or in_features % _MULTIPLE or out_features % _MULTIPLE:
        return functional.linear(x, weight)
    rows = x.reshape(-1, in_features)
    x_scales = power_of_two_scales(rows.abs().amax(dim=-1, keepdim=True).float(), _LARGEST)
    x_codes = (rows / x_scales).to(torch.float8_e4m3fn)
    product = torch._scaled_mm(x_codes, codes.t(), scale_a=x_scales, scale_b=scales.t(), out_dtype=torch.bfloat16)
    return product.view(*x.shape[:-1], out_features)


def build_scaled_mm(config: ComponentConfig) -> Kernel:
    """Factory of `fp8_linear/scaled_mm`."""
    return scaled_mm
