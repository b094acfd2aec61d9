"""Signs and scales (Rastegari et al. 2016, XNOR-Net, arXiv 1603.05279, section 3.1)."""

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
    """code = sign(w), scale = mean |w| of the group: of all scales the one of least squared error for these codes.

    A weight of 0 has the code 0, so that rounding what is already rounded changes nothing. `quantize` is called once for
    each change of the weight; gradients pass straight through to it without further ado.
    """

    def __init__(self, config: WidgetConfig) -> None:
        self.group_size = config.group_size

    def quantize(self, weight: Tensor) -> QuantizedWeight:
        """Codes and scales of a weight (..., out_features, in_features), float32; the last group may be partial."""
        codes = weight.sign()
        magnitudes, counted = self._sums(weight.abs()), self._sums(codes.abs())
        scales = (magnitudes / counted.clamp_min(1)).clamp(SMALLEST_SCALE, LARGEST_SCALE).half().float()
        return QuantizedWeight(codes.to(torch.int8), scales, self.group_size)

    def _sums(self, values: Tensor) -> Tensor:
        """The sum of each group: (..., in_features) -> (..., groups)."""
        filled = functional.pad(values, (0, -values.shape[-1] % self.group_size))
        return torch.unflatten(filled, -1, (-1, self.group_size)).sum(dim=-1)


def build(config: WidgetConfig) -> WidgetQuantizer:
    """Factory of acme/widget."""
    return WidgetQuantizer(config)
