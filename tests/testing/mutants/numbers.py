"""Broken quantizers and kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from nanochat_framework.kernels import naive
from nanochat_framework.model.quantized import QuantizedWeight
from nanochat_quantizers.config import Int4Config
from nanochat_quantizers.integers import IntegerQuantizer
from nanochat_quantizers.learned import LearnedIntegers
from tests.testing.mutants.record import mutant

INT4 = "nanochat_quantizers.config:Int4Config"


@mutant("quantizer", "rounding_is_to_the_nearest", INT4)
class RoundsTiesAway(IntegerQuantizer):
    """Half goes away from zero."""

    def quantize(self, weight: Tensor) -> QuantizedWeight:
        found = super().quantize(weight)
        scales = found.scales[..., torch.arange(weight.shape[-1]) // found.group_size]
        ratio = weight / scales
        away = (ratio.abs() + 0.5).floor() * ratio.sign()
        codes = torch.where(ratio.abs().frac() == 0.5, away, found.codes.float()).clamp(self.smallest, self.largest)
        return QuantizedWeight(codes.to(torch.int8), found.scales, found.group_size)


@mutant("quantizer", "codes_are_in_range", INT4)
class OneCodeTooMany(IntegerQuantizer):
    """Uses a code that its configuration does not state."""

    def __init__(self, config: Int4Config) -> None:
        super().__init__(config)
        self.largest += 1


@mutant("quantizer", "scales_are_exact", INT4)
class InexactScales(IntegerQuantizer):
    """Scales in float32, which no file holds."""

    def quantize(self, weight: Tensor) -> QuantizedWeight:
        found = super().quantize(weight)
        return QuantizedWeight(found.codes, found.scales * 1.00001, found.group_size)


@mutant("quantizer", "zeros_stay_zero", INT4)
class ShiftsZero(IntegerQuantizer):
    """A group of zeros gets the smallest code that there is."""

    def quantize(self, weight: Tensor) -> QuantizedWeight:
        found = super().quantize(weight)
        codes = torch.where(weight == 0, 1, found.codes).to(torch.int8)
        return QuantizedWeight(codes, found.scales, found.group_size)


@mutant("quantizer", "a_partial_group_is_trained", INT4)
class WholeGroupsOnly(IntegerQuantizer):
    """Refuses what does not divide."""

    def quantize(self, weight: Tensor) -> QuantizedWeight:
        if weight.shape[-1] % 2:
            raise ValueError("the last group is not whole")
        return super().quantize(weight)


@mutant("quantizer", "quantising_is_deterministic", INT4)
class RoundsAtRandom(IntegerQuantizer):
    """Noise before the rounding."""

    def quantize(self, weight: Tensor) -> QuantizedWeight:
        return super().quantize(weight + 0.05 * torch.randn_like(weight))


@mutant("quantizer", "stacks_are_quantised_one_by_one", INT4)
class MixesMatrices(IntegerQuantizer):
    """The matrices of a stack share what is taken for the largest magnitude."""

    def quantize(self, weight: Tensor) -> QuantizedWeight:
        found = super().quantize(weight)
        return QuantizedWeight(
            found.codes, found.scales.amax(dim=0, keepdim=True).expand_as(found.scales), found.group_size
        )


@mutant("quantizer", "activations_keep_to_themselves", INT4)
class LooksAcrossPositions(IntegerQuantizer):
    """Activations are rounded by the largest magnitude of the whole tensor."""

    def quantize_activations(self, x: Tensor) -> Tensor:
        step = x.abs().max().clamp_min(1e-8) / 127
        return ((x / step).round() * step).to(x.dtype)


@mutant("quantizer", "gradients_go_straight_through", INT4)
class ClipsItsProduct(IntegerQuantizer):
    """Keeps its codes, and multiplies something else."""

    keeps_codes = True

    def product(self, x: Tensor, weight: Tensor, quantized: QuantizedWeight) -> Tensor:
        return super().product(x, weight, quantized).clamp(-0.1, 0.1)


@mutant("quantizer", "scales_that_are_learned_learn", "tests.testing.mutants.learning_config:Learned")
class DeadScales(LearnedIntegers):
    """Scales that are parameters, and get no gradient."""

    def scale_gradient(self, weight: Tensor, scales: Tensor, gradient: Tensor) -> Tensor:
        return torch.zeros_like(scales)


@mutant("kernel", "equals_the_naive_operation", operation="rms_norm", priority=1, requires=())
def without_eps(config: Any) -> Callable[..., Tensor]:
    return lambda x, weight, eps: naive.rms_norm(x, weight, 0.1)


@mutant("kernel", "gradients_equal_the_naive_ones", operation="rms_norm", priority=1, requires=())
def without_the_roots_gradient(config: Any) -> Callable[..., Tensor]:
    def rms_norm(x: Tensor, weight: Tensor | None, eps: float) -> Tensor:
        wide = x.float()
        normed = wide * torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + eps).detach()
        return (normed if weight is None else normed * weight).to(x.dtype)

    return rms_norm


@mutant("kernel", "the_operation_is_the_cores", operation="invented", priority=1, requires=())
def of_no_operation(config: Any) -> Callable[..., Tensor]:
    return lambda x: x
