"""Optimizer state in 8 bits: int8 codes with one float32 scale for each block of 128 values.

Block-wise scales are those of Dettmers et al. 2021 (arXiv 2110.02861). Codes are linear in the value, and rounded at
random, up with the probability of what would be cut off, so that a momentum that changes by less than a code each step
still follows on average; rounding to the nearest would freeze it. The draws depend on the parameter's name and its
count of updates, so a resumed run repeats them.
"""

from __future__ import annotations

import zlib
from math import prod

import torch
from torch import Tensor
from torch.nn import functional

from nanochat_optimizers.config import BLOCK

LEVELS = 127


def zero_codes(weight: Tensor) -> Tensor:
    """int8 zeros in the shape of a weight, on its device."""
    return torch.zeros_like(weight, dtype=torch.int8, memory_format=torch.contiguous_format)


def zero_scales(weight: Tensor) -> Tensor:
    """Float32 zeros, one for each block of a weight."""
    return torch.zeros(-(-weight.numel() // BLOCK), dtype=torch.float32, device=weight.device)


def load(codes: Tensor, scales: Tensor) -> Tensor:
    """The values, float32, in the shape of the codes."""
    values = _blocks(codes).float().mul_(scales[:, None])
    return values.flatten()[: codes.numel()].view(codes.shape)


def store(values: Tensor, codes: Tensor, scales: Tensor, *, name: str, count: int) -> None:
    """Write values into codes and scales, in place; they read back within one code, a block's largest exactly.

    Args:
        values: in the shape of the codes; overwritten.
        name: of the parameter; with `count`, how often it was updated, it decides the rounding.
    """
    blocks = _blocks(values)
    torch.div(blocks.abs().amax(dim=1), LEVELS, out=scales)
    blocks = blocks.div_(scales.clamp_min(torch.finfo(torch.float32).tiny)[:, None])
    generator = torch.Generator(values.device).manual_seed(zlib.crc32(f"{name}:{count}".encode()))
    blocks.add_(torch.rand(blocks.shape, generator=generator, device=values.device)).floor_().clamp_(-LEVELS, LEVELS)
    codes.copy_(blocks.flatten()[: codes.numel()].view(codes.shape))


def _blocks(flat: Tensor) -> Tensor:
    """(n_blocks, BLOCK), the last block filled up with zeros; a view where nothing has to be filled up."""
    missing = -prod(flat.shape) % BLOCK
    flat = flat.flatten()
    return (functional.pad(flat, (0, missing)) if missing else flat).view(-1, BLOCK)
