"""torch's grouped matrix product."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from nanochat_framework.config.component import ComponentConfig
from nanochat_framework.contracts.kernel import Kernel
from nanochat_framework.kernels import naive

_MULTIPLE = 8
"""Rows in memory begin at multiples of 16 bytes."""


def grouped_mm(a: Tensor, b: Tensor, ends: Tensor) -> Tensor:
    """As `kernels.naive.grouped_mm`, in bfloat16; anything else is left to that."""
    inner = (*a.shape, *b.shape[-2:])
    if a.dtype != torch.bfloat16 or any(size % _MULTIPLE for size in (inner[1], inner[3])):
        return naive.grouped_mm(a, b, ends)
    return functional.grouped_mm(a, b, offs=ends)


def build_grouped_mm(config: ComponentConfig) -> Kernel:
    """Factory of `grouped_mm/torch` and `grouped_mm/torch_cpu`."""
    return grouped_mm
