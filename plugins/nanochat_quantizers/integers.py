"""Whole-number codes with one scale a group of inputs: ternary, 4 and 8 bits are the same rounding with other ranges."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from nanochat_framework.contracts.quantizer import Quantizer
from nanochat_framework.kernels.blocks import row_blocks
from nanochat_framework.kernels.table import active
from nanochat_framework.model.quantized import QuantizedWeight
from nanochat_quantizers.config import IntegerConfig
from nanochat_quantizers.scales import better, codes_for, fit, magnitude, representable

REFINEMENTS = 4
"""Rounds of least squares: codes for the scale, then the scale for the codes. For ternary codes and normal weights more
rounds take off another 0.2 % of the squared error."""

ScalesOf = Callable[[Tensor, slice, slice], Tensor]
"""(rows, groups, width) of weights, which rows and which groups they are -> (rows, groups) scales."""


class IntegerQuantizer(Quantizer):
    """w ≈ code · s with code = clamp(round(w / s), smallest, largest).

    s is rounded to a value that files hold exactly before the codes are chosen, so files hold what training used. The
    quotient is float32's and rounds half to even. A partial last group has a scale of its own elements.
    """

    def __init__(self, config: IntegerConfig) -> None:
        self.config = config
        self.smallest, self.largest = config.smallest, config.largest
        self.kernels = active()

    @torch.no_grad()
    def quantize(self, weight: Tensor) -> QuantizedWeight:
        """Codes and scales of (..., out_features, in_features) float32; leading dimensions are separate matrices."""
        if self.config.group_size == "tensor":
            shared = self._matrix_scales(weight)
            return self._quantize(weight, lambda part, block, groups: shared[block])
        return self._quantize(weight, lambda part, block, groups: self._scales(part))

    def quantize_activations(self, x: Tensor) -> Tensor:
        """(..., in_features), each position rounded to `activation_bits` by its largest magnitude; same dtype."""
        if self.config.activation_bits == 0:
            return x
        rounded: Tensor = self.kernels.choose("quantize_activations", x.device.type).call(x)
        return rounded

    def _quantize(self, weight: Tensor, scales_of: ScalesOf) -> QuantizedWeight:
        rows, size = weight.reshape(-1, weight.shape[-1]), self.config.group_of(weight.shape[-1])
        codes = torch.empty(rows.shape, dtype=torch.int8, device=rows.device)
        scales = torch.empty(rows.shape[0], -(-rows.shape[1] // size), dtype=torch.float32, device=rows.device)
        for block in row_blocks(rows):
            for columns, groups, width in segments(rows.shape[1], size):
                part = torch.unflatten(rows[block, columns], -1, (-1, width))
                own = scales_of(part, block, groups)
                scales[block, groups] = own
                codes[block, columns] = codes_for(part, own.unsqueeze(-1), self.smallest, self.largest).flatten(1)
        return QuantizedWeight(codes.view(weight.shape), scales.view(*weight.shape[:-1], -1), size)

    def _first(self, magnitudes: Tensor) -> Tensor:
        """The scale that the largest, or the mean, magnitude of a group gives."""
        return representable(magnitudes / self.largest, self.config.scale_bits)

    def _scales(self, part: Tensor) -> Tensor:
        """Scales of groups: (..., width) -> (...)."""
        scales = self._first(magnitude(part, self.config.first_scale))
        for _ in range(REFINEMENTS if self.config.scale_rule == "least_squares" else 0):
            scales = better(*fit(part, scales, self.smallest, self.largest), scales, self.config.scale_bits)
        return scales

    def _matrix_scales(self, weight: Tensor) -> Tensor:
        """One scale a matrix, repeated for each of its rows: (..., out, in) -> (rows, 1)."""
        rows, matrices = weight.reshape(-1, weight.shape[-1]), weight.shape[:-1]

        def of_rows(*columns: Tensor) -> list[Tensor]:
            return [column.view(matrices) for column in columns]

        magnitudes = torch.cat([magnitude(rows[block], self.config.first_scale) for block in row_blocks(rows)])
        (each,) = of_rows(magnitudes)
        whole = each.mean(-1, True) if self.config.first_scale == "absmean" else each.amax(-1, True)
        scales = self._first(whole)
        for _ in range(REFINEMENTS if self.config.scale_rule == "least_squares" else 0):
            shared = scales.expand(matrices).reshape(-1)
            sums = [fit(rows[block], shared[block], self.smallest, self.largest) for block in row_blocks(rows)]
            products, squares = of_rows(*(torch.cat(parts) for parts in zip(*sums, strict=True)))
            scales = better(products.sum(-1, True), squares.sum(-1, True), scales, self.config.scale_bits)
        return scales.expand(matrices).reshape(-1, 1)


def segments(columns: int, size: int) -> Iterator[tuple[slice, slice, int]]:
    """The whole groups of a row and its partial last one: their columns, their groups, the width of a group."""
    whole = columns // size
    if whole:
        yield slice(0, whole * size), slice(0, whole), size
    if columns % size:
        yield slice(whole * size, columns), slice(whole, whole + 1), columns % size


def build_integers(config: IntegerConfig) -> Quantizer:
    """Factory of `ternary`, `int4` and `int8`."""
    if config.scale_rule == "learned":
        from nanochat_quantizers.learned import LearnedIntegers

        return LearnedIntegers(config)
    return IntegerQuantizer(config)
