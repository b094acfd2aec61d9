"""Whole numbers with a scale for each group (as in Jacob et al. 2017, arXiv 1712.05877, without a zero point)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from nanochat_framework.contracts.quantizer import Quantizer
from nanochat_framework.model.quantized import QuantizedWeight

from .config import WidgetConfig

SMALLEST_SCALE, LARGEST_SCALE = 2.0**-24, 65504.0
"""Of float16: files store scales so, and must store what training used."""


class WidgetQuantizer(Quantizer):
    """scale = largest magnitude of the group / largest code; code = the whole number nearest to w / scale.

    `quantize` is called once for each change of the weight. Gradients pass straight through to the weight by themselves.
    """

    def __init__(self, config: WidgetConfig) -> None:
        self.group_size, self.largest = config.group_size, config.largest

    def quantize(self, weight: Tensor) -> QuantizedWeight:
        """Codes and scales of a weight (..., out_features, in_features), float32; the last group may be partial."""
        filled = functional.pad(weight, (0, -weight.shape[-1] % self.group_size))
        groups = torch.unflatten(filled, -1, (-1, self.group_size))
        scales = groups.abs().amax(dim=-1) / self.largest
        scales = scales.clamp(SMALLEST_SCALE, LARGEST_SCALE).half().float()
        codes = (groups / scales.unsqueeze(-1)).round().clamp(-self.largest, self.largest).flatten(-2)
        return QuantizedWeight(codes[..., : weight.shape[-1]].to(torch.int8), scales, self.group_size)


def build(config: WidgetConfig) -> WidgetQuantizer:
    """Factory of acme/widget."""
    return WidgetQuantizer(config)
