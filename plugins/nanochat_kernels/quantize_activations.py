"""Rounding of activations to 8 bits a row, block by block."""

from __future__ import annotations

import torch
from torch import Tensor

from nanochat_framework.config.component import ComponentConfig
from nanochat_framework.contracts.kernel import Kernel
from nanochat_framework.kernels.blocks import fits_one_block, row_blocks


def quantize_activations(x: Tensor) -> Tensor:
    """As `kernels.naive.quantize_activations`, with the same results bit for bit."""
    x = x.detach()
    if fits_one_block(x):
        return _round(x, torch.empty_like(x))
    rows = x.reshape(-1, x.shape[-1])
    rounded = torch.empty_like(rows)
    for block in row_blocks(rows):
        _round(rows[block], rounded[block])
    return rounded.view(x.shape)


def _round(x: Tensor, out: Tensor) -> Tensor:
    """Write the rounded values to `out`.

    The naive form's clamp is left out: |x| · (127 / max|x|) is at most 127 but for rounding, and rounds to 127.
    """
    largest = x.abs().amax(dim=-1, keepdim=True).float().clamp_min_(1e-8)
    codes = torch.mul(x.float(), 127.0 / largest).round_()
    return torch.mul(codes, largest / 127.0, out=out)


def build_quantize_activations(config: ComponentConfig) -> Kernel:
    """Factory of `quantize_activations/blocked`."""
    return quantize_activations
