"""Contract of a quantizer: what training simulates and exporters store.

::

    class Rows(Quantizer):
        def __init__(self, config: SevenBits) -> None:
            super().__init__()

        @torch.no_grad()
        def quantize(self, weight):
            scales = (weight.abs().amax(dim=-1, keepdim=True) / 63).clamp(2.0**-14, 65504).half().float()
            codes = (weight / scales).round().clamp(-63, 63).to(torch.int8)
            return QuantizedWeight(codes, scales, group_size=weight.shape[-1])

where `SevenBits` is a `QuantizerConfig` whose `codes()` is `CodeRange("integer", -63, 63)`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor
from torch.nn import functional

from nanochat_framework.config.rules import QuantizerWarmup
from nanochat_framework.model.quantized import QuantizedWeight


class Quantizer(ABC):
    """Rounds the weights (and activations) of the maps it is given. Factory: `build(config)`, for each `[[quantizer]]` table.

    `model.weight.QuantizableWeight` calls `quantize` once for each change of the weight, caches the result, and passes
    gradients straight through (Bengio et al. 2013, arXiv 1308.3432). Groups run along the last (input) dimension; a
    partial last group is allowed, only an exporter may refuse it. What others must know of it without torch is said by
    its configuration (`config.quantizer_config.QuantizerConfig`).
    """

    warmup: QuantizerWarmup | None = None
    """Whether and when rounding sets in gradually, from the table that chose this quantizer."""
    strength: Tensor | None = None
    """Share of the rounding that is applied, () float32 in [0, 1]; None: all of it. Set while the warm-up lasts."""
    keeps_codes: bool = False
    """Whether `product` reads the codes, which are then kept beside the values."""

    @abstractmethod
    def quantize(self, weight: Tensor) -> QuantizedWeight:
        """Codes and scales of a weight (..., out_features, in_features), float32, without gradient.

        A code is the nearest to weight / scale within its range, and of two as near the even one; the same weight always
        has the same codes. Each matrix of a stack is quantised as if it were alone. A weight of zero has the code zero.
        Scales must be finite values that float16 holds exactly, or powers of two, so that files store what training used.
        """

    def quantize_activations(self, x: Tensor) -> Tensor:
        """The input of a quantised map as the map sees it: (..., in_features), same dtype. Default: unchanged.

        Each position is rounded by itself, or a position would see later ones.
        """
        return x

    def product(self, x: Tensor, weight: Tensor, quantized: QuantizedWeight) -> Tensor:
        """x Wᵀ of rounded operands: (..., in_features), (out_features, in_features) -> (..., out_features).

        Asked only of a quantizer that `keeps_codes`: `quantized` holds those of `weight`, and may be multiplied in its
        stead. Not called while a warm-up blends the weight. No gradient passes through here.
        """
        return functional.linear(x, weight)


class LearnedScaleQuantizer(Quantizer):
    """A quantizer whose scales are parameters: each map gets a tensor of them, role `quantizer_scale`.

    The parameters belong to the map, not to the quantizer; what they mean (a logarithm of the scale, say) is the
    quantizer's own affair.
    """

    @abstractmethod
    def initial_scales(self, weight: Tensor) -> Tensor:
        """The parameters to begin with, for a weight (out_features, in_features): float32, any shape."""

    @abstractmethod
    def quantize_with(self, weight: Tensor, scales: Tensor) -> QuantizedWeight:
        """Codes and scales of a weight with the scales that the parameters stand for, without gradient."""

    @abstractmethod
    def scale_gradient(self, weight: Tensor, scales: Tensor, gradient: Tensor) -> Tensor:
        """The gradient of the parameters, from that of the dequantised weight (out_features, in_features)."""

    @abstractmethod
    def scales_of(self, quantized: QuantizedWeight) -> Tensor:
        """The parameters that stand for the scales of a weight."""
