"""Weights of every kind, and every quantizer that there is."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

from nanochat_framework.config.quantizer_config import QuantizerConfig
from nanochat_framework.contracts.quantizer import LearnedScaleQuantizer, Quantizer
from nanochat_framework.model.quantized import QuantizedWeight
from nanochat_quantizers.config import Fp8Config, Int4Config, Int8Config, TernaryConfig
from nanochat_quantizers.fp8 import build_fp8
from nanochat_quantizers.integers import build_integers

GROUPS: list[Any] = [32, 64, 96, 256, "row", "tensor"]

CONFIGS: dict[str, QuantizerConfig] = {
    **{
        f"ternary-{scale}-{group}": TernaryConfig(scale=scale, group_size=group)
        for scale in ("absmean", "absmax", "least_squares", "learned")
        for group in GROUPS
    },
    **{
        f"int4-{scale}-{group}": Int4Config(scale=scale, group_size=group)
        for scale in ("absmax", "least_squares", "learned")
        for group in GROUPS
    },
    **{f"int8-{group}": Int8Config(group_size=group) for group in GROUPS},
    **{
        f"fp8-{name}-{group}": Fp8Config(format=name, group_size=group)
        for name in ("e4m3", "e5m2")
        for group in ("row", "tensor")
    },
}
INTEGER = {name: config for name, config in CONFIGS.items() if not isinstance(config, Fp8Config)}


def build(config: Any) -> Quantizer:
    """The quantizer of a configuration."""
    return build_fp8(config) if isinstance(config, Fp8Config) else build_integers(config)


def quantize(config: Any, weight: Tensor) -> QuantizedWeight:
    """Codes and scales of a weight; scales that are learned are as they begin."""
    quantizer = build(config)
    if isinstance(quantizer, LearnedScaleQuantizer):
        return quantizer.quantize_with(weight, quantizer.initial_scales(weight))
    return quantizer.quantize(weight)


@st.composite
def weights(draw: st.DrawFn, *, smallest: float = 1e-12, largest: float = 1e9) -> Tensor:
    """Matrices of odd shapes and any size of values, with zeros, whole rows of zeros and equal magnitudes among them."""
    rows, columns = draw(st.integers(1, 6)), draw(st.integers(1, 200))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    size = draw(st.floats(smallest, largest))
    weight = torch.randn(rows, columns, generator=generator) * size
    if draw(st.booleans()):
        weight = weight.sign() * size
    weight[torch.rand(rows, columns, generator=generator) < draw(st.sampled_from([0.0, 0.3]))] = 0.0
    if draw(st.booleans()):
        weight[draw(st.integers(0, rows - 1))] = 0.0
    return weight


def per_element(quantized: QuantizedWeight) -> Tensor:
    """The scale of each element, by a loop as plain as can be."""
    scales = torch.empty(quantized.shape)
    for column in range(quantized.shape[-1]):
        scales[..., column] = quantized.scales[..., column // quantized.group_size]
    return scales
