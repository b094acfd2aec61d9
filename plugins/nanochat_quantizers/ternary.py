"""Ternary weights with absolute-mean scales (Ma et al. 2024, "The Era of 1-bit LLMs", arXiv 2402.17764)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from nanochat_framework.contracts.quantizer import Quantizer
from nanochat_framework.kernels.blocks import row_blocks
from nanochat_framework.kernels.table import active
from nanochat_framework.model.quantized import QuantizedWeight
from nanochat_quantizers.config import TernaryConfig

SMALLEST_SCALE = 2.0**-24
"""The least positive float16 (subnormal): a group of zeros has this scale, so that no engine divides by zero."""
LARGEST_SCALE = 65504.0
"""The largest finite float16."""


class Ternary(Quantizer):
    """w ≈ code · s with code in {-1, 0, +1}: s = mean|w| of the group, code = clamp(round(w / s), -1, 1).

    s is rounded to the nearest float16 before the codes are chosen, so files hold what training used. The quotient is
    float32's and rounds half to even, so |w| = s / 2 gives 0. The mean of a partial last group is its own elements'.
    """

    def __init__(self, config: TernaryConfig) -> None:
        self.group_size = config.group_size
        self.activation_bits = config.activation_bits
        self.kernels = active()

    @torch.no_grad()
    def quantize(self, weight: Tensor) -> QuantizedWeight:
        """Codes and scales of (..., out_features, in_features) float32; leading dimensions are separate matrices."""
        rows = weight.reshape(-1, weight.shape[-1])
        size = rows.shape[1] if isinstance(self.group_size, str) else self.group_size
        codes = torch.empty(rows.shape, dtype=torch.int8, device=rows.device)
        scales = torch.empty(rows.shape[0], -(-rows.shape[1] // size), dtype=torch.float32, device=rows.device)
        shared = _matrix_scales(weight) if self.group_size == "tensor" else None
        for block in row_blocks(rows):
            for columns, groups, width in _segments(rows.shape[1], size):
                part = torch.unflatten(rows[block, columns], -1, (-1, width))
                own = representable(part.abs().mean(dim=-1)) if shared is None else shared[block]
                scales[block, groups] = own
                codes[block, columns] = ternary_codes(part, own.unsqueeze(-1)).flatten(1)
        return QuantizedWeight(codes.view(weight.shape), scales.view(*weight.shape[:-1], -1), size)

    def quantize_activations(self, x: Tensor) -> Tensor:
        """(..., in_features), each position rounded to `activation_bits` by its largest magnitude; same dtype."""
        if self.activation_bits == 0:
            return x
        rounded: Tensor = self.kernels.choose("quantize_activations", x.device.type).call(x)
        return rounded


def ternary_codes(weights: Tensor, scales: Tensor) -> Tensor:
    """clamp(round(w / s), -1, 1) in float32, half to even; `scales` broadcasts over `weights`.

    Codes of code · s with the same s are the codes again.
    """
    return (weights / scales).round_().clamp_(-1.0, 1.0)


def representable(means: Tensor) -> Tensor:
    """The nearest positive finite float16 of each mean, as float32. NaN stays NaN."""
    return means.clamp(SMALLEST_SCALE, LARGEST_SCALE).half().float()


def _segments(columns: int, size: int) -> Iterator[tuple[slice, slice, int]]:
    """The whole groups of a row and its partial last one: their columns, their groups, the width of a group."""
    whole = columns // size
    if whole:
        yield slice(0, whole * size), slice(0, whole), size
    if columns % size:
        yield slice(whole * size, columns), slice(whole, whole + 1), columns % size


def _matrix_scales(weight: Tensor) -> Tensor:
    """One scale a matrix, repeated for each of its rows: (..., out, in) -> (rows, 1)."""
    rows = weight.reshape(-1, weight.shape[-1])
    means = torch.empty(rows.shape[0], dtype=torch.float32, device=rows.device)
    for block in row_blocks(rows):
        torch.mean(rows[block].abs(), dim=-1, out=means[block])
    scales = representable(means.view(weight.shape[:-1]).mean(dim=-1, keepdim=True))
    return scales.expand(weight.shape[:-1]).reshape(-1, 1)


def build_ternary(config: TernaryConfig) -> Ternary:
    """Factory of `ternary`."""
    return Ternary(config)
