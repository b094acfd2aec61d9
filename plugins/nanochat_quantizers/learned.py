"""Scales that are trained with the weights (LSQ: Esser et al. 2020, arXiv 1902.08153), in the logarithm."""

from __future__ import annotations

from math import sqrt

import torch
from torch import Tensor

from nanochat_framework.contracts.quantizer import LearnedScaleQuantizer
from nanochat_framework.kernels.blocks import row_blocks
from nanochat_framework.model.quantized import QuantizedWeight
from nanochat_quantizers.integers import IntegerQuantizer, segments
from nanochat_quantizers.scales import codes_for, representable


class LearnedIntegers(IntegerQuantizer, LearnedScaleQuantizer):
    """s = exp(p), rounded to what files hold; p is the parameter, one for each scale.

    The gradient of s is LSQ's: Σ over the group of dL/dŵ · (q - w / s), and of dL/dŵ · q where w / s lies beyond the
    codes, times 1 / sqrt(group · largest code); of p it is s times that. The weight's own gradient passes straight
    through, clipped or not, as with every other scale. Why the logarithm: docs/decisions/0034.
    """

    @torch.no_grad()
    def initial_scales(self, weight: Tensor) -> Tensor:
        """Logarithms of the scales that are not learned: the mean's for ternary codes, the largest's for others."""
        scales = self.quantize(weight).scales
        return (scales[..., :1, :] if self.config.group_size == "tensor" else scales).log()

    @torch.no_grad()
    def quantize_with(self, weight: Tensor, scales: Tensor) -> QuantizedWeight:
        """Codes and scales of (out_features, in_features) with the scales that the parameters stand for."""
        each = self._each_row(weight, scales)
        return self._quantize(weight, lambda part, block, groups: each[block, groups])

    @torch.no_grad()
    def scale_gradient(self, weight: Tensor, scales: Tensor, gradient: Tensor) -> Tensor:
        """As the class says: (out, in), parameters, (out, in) -> like the parameters."""
        each, size = self._each_row(weight, scales), self.config.group_of(weight.shape[-1])
        found = torch.empty_like(each)
        for block in row_blocks(weight):
            for columns, groups, width in segments(weight.shape[1], size):
                shape = (-1, width)
                ratio = torch.unflatten(weight[block, columns].float(), -1, shape) / each[block, groups, None]
                codes = codes_for(ratio, torch.ones((), device=ratio.device), self.smallest, self.largest)
                inside = (ratio >= self.smallest) & (ratio <= self.largest)
                slope = torch.where(inside, codes - ratio, codes)
                incoming = torch.unflatten(gradient[block, columns].float(), -1, shape)
                shared = width * (weight.shape[0] if self.config.group_size == "tensor" else 1)
                found[block, groups] = torch.linalg.vecdot(incoming, slope) / sqrt(shared * self.largest)
        found *= each
        return found.sum(dim=0, keepdim=True) if self.config.group_size == "tensor" else found

    def scales_of(self, quantized: QuantizedWeight) -> Tensor:
        """The logarithms of the scales."""
        return (quantized.scales[:1] if self.config.group_size == "tensor" else quantized.scales).log()

    def _each_row(self, weight: Tensor, scales: Tensor) -> Tensor:
        """The scales of every row: (out_features, n_groups)."""
        own = representable(scales.float().exp(), self.config.scale_bits)
        return own.expand(weight.shape[0], -1)
