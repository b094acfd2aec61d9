"""What holds for every quantizer and every weight."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from nanochat_framework.config.quantizer_config import CodeRange, QuantizerConfig
from nanochat_framework.model.linear import Linear
from nanochat_framework.model.quantized import QuantizedWeight
from nanochat_quantizers.config import Fp8Config, IntegerConfig, TernaryConfig
from tests.quantizers.support import CONFIGS, INTEGER, build, per_element, quantize, weights

configs = st.sampled_from(sorted(CONFIGS)).map(CONFIGS.__getitem__)
integers = st.sampled_from(sorted(INTEGER)).map(INTEGER.__getitem__)
NORMAL = 2.0**-14
"""The least float16 that is not subnormal; scales below have fewer bits."""


def in_range(quantized: QuantizedWeight, codes: CodeRange | None) -> bool:
    assert codes is not None
    values = quantized.codes.float()
    return bool(((values >= codes.smallest) & (values <= codes.largest)).all())


@given(weights(), configs)
def test_codes_scales_and_shapes_are_what_the_configuration_says(weight: Tensor, config: QuantizerConfig) -> None:
    quantized = quantize(config, weight)
    assert in_range(quantized, config.codes())
    assert quantized.group_size == config.group_of(weight.shape[1])
    assert quantized.integer == isinstance(config, IntegerConfig)
    assert bool((quantized.scales > 0).all())
    if isinstance(config, Fp8Config):
        assert bool((torch.frexp(quantized.scales).mantissa == 0.5).all()), "powers of two"
    else:
        assert torch.equal(quantized.scales.half().float(), quantized.scales), "float16 holds the scales exactly"
    signs = quantized.codes.float().sign() * weight.sign()
    assert bool((signs >= 0).all()), "no weight changes its sign"
    assert bool((quantized.codes.float()[weight == 0] == 0).all())


@given(weights(), configs)
def test_the_bits_of_a_weight_are_exact_where_products_are_made(weight: Tensor, config: QuantizerConfig) -> None:
    """Ternary and 8-bit floats lose nothing in bfloat16; whole numbers of more bits are rounded once."""
    quantized = quantize(config, weight)
    values = quantized.dequantize()
    assert torch.equal(quantized.dequantize(torch.bfloat16), values.bfloat16())
    if isinstance(config, Fp8Config | TernaryConfig):
        assert torch.equal(values.bfloat16().float(), values)


@given(weights(smallest=1e-3, largest=1e3), configs)
def test_the_error_is_at_most_half_a_step(weight: Tensor, config: QuantizerConfig) -> None:
    """Beyond the largest code it is what lies beyond."""
    quantized = quantize(config, weight)
    scale, codes = per_element(quantized), quantized.codes.float()
    step = scale
    if isinstance(
        config, Fp8Config
    ):  # the distance of floats: 2^(exponent - bits of mantissa), at least the subnormals'
        bits, least = (3, -9) if config.format == "e4m3" else (2, -16)
        exponent = torch.frexp((weight / scale).abs()).exponent - 1
        step = scale * torch.maximum(2.0 ** (exponent - bits), torch.tensor(2.0**least))
    limits = config.codes()
    assert limits is not None
    beyond = torch.maximum(weight - limits.largest * scale, limits.smallest * scale - weight)
    bound = torch.maximum(step / 2, beyond) * (1 + 1e-5)
    assert bool(((weight - codes * scale).abs() <= bound).all())


@given(weights(smallest=1e-2, largest=10.0), configs, st.integers(-3, 3))
def test_doubling_the_weight_doubles_the_scale(weight: Tensor, config: QuantizerConfig, exponent: int) -> None:
    factor = 2.0**exponent
    quantized, scaled = quantize(config, weight), quantize(config, weight * factor)
    normal = (quantized.scales * min(factor, 1.0) >= NORMAL).all(dim=1)
    if isinstance(config, Fp8Config):
        normal = (weight != 0).any(dim=1)
    assert torch.equal(scaled.scales[normal], quantized.scales[normal] * factor)
    assert torch.equal(scaled.codes[normal].float(), quantized.codes[normal].float())


@given(weights(largest=1e4), configs)
def test_turning_the_sign_turns_the_codes(weight: Tensor, config: QuantizerConfig) -> None:
    """But for -8, which has no opposite among 4 bits, and for the searches that it takes part in. (A weight that is too
    large for any scale has that code too.)"""
    quantized, turned = quantize(config, weight), quantize(config, -weight)
    limits = config.codes()
    assert limits is not None
    assume(limits.smallest == -limits.largest or getattr(config, "scale", "") == "absmax")
    assert torch.equal(turned.codes.float(), -quantized.codes.float())
    assert torch.equal(turned.scales, quantized.scales)


@given(weights(), configs)
def test_the_same_scale_gives_the_same_codes_again(weight: Tensor, config: QuantizerConfig) -> None:
    quantized = quantize(config, weight)
    values, scale = quantized.dequantize(), per_element(quantized)
    ratio = values / scale
    again = ratio.to(quantized.codes.dtype).float() if isinstance(config, Fp8Config) else ratio.round()
    assert torch.equal(again, quantized.codes.float())


@given(weights(smallest=1e-2, largest=10.0), configs)
def test_quantising_the_dequantised_weight_changes_no_value(weight: Tensor, config: QuantizerConfig) -> None:
    """With a scale found anew. It does not hold for these: a mean of magnitudes shrinks with every zero, a search may
    settle elsewhere, and a group of 4 bits whose scale is least squares' has a largest code of its own."""
    rule = getattr(config, "scale", "absmax")
    quantized = quantize(config, weight)
    again = quantize(config, quantized.dequantize())
    if rule == "absmax":
        assume(bool((quantized.scales >= NORMAL).all() or isinstance(config, Fp8Config)))
        reached = quantized.codes.float().abs().amax(dim=1) > 0
        assume(not isinstance(config, TernaryConfig) or bool(reached.all()))
        assert torch.equal(again.dequantize(), quantized.dequantize())
    elif isinstance(config, TernaryConfig):
        assert torch.equal(again.codes, quantized.codes), "the codes stay, for the new scale is never larger"


@given(
    weights(smallest=1e-2, largest=10.0), st.sampled_from(["ternary", "int4"]), st.sampled_from([32, "row", "tensor"])
)
def test_least_squares_is_no_worse_than_what_it_begins_with(weight: Tensor, name: str, group: Any) -> None:
    first = {"ternary": "absmean", "int4": "absmax"}[name]

    def error(rule: str) -> float:
        values = quantize(CONFIGS[f"{name}-{rule}-{group}"], weight).dequantize()
        return float((values.double() - weight.double()).square().sum())

    assert error("least_squares") <= error(first) * 1.001 + 1e-12  # what rounding of the scale may cost


@pytest.mark.parametrize("name", CONFIGS)
def test_zeros_extremes_and_what_is_not_finite(name: str) -> None:
    weight = torch.zeros(5, 70)
    weight[1] = 1e-30
    weight[2] = 3e38
    weight[3, 5] = float("nan")
    if "tensor" in name:
        weight = weight[:2]
    values = quantize(CONFIGS[name], weight).dequantize()
    assert not values[0].any()
    assert bool((values[1] <= 1e-7).all())
    if "tensor" not in name:
        assert bool((values[2] > 1e4).all()) and bool(values[2].isfinite().all())
        assert bool(values[3].isnan().any()), "a weight that went to NaN must not come back as a number"
        assert not values[4].any()


@pytest.mark.parametrize("name", [name for name in CONFIGS if "learned" not in name])
def test_matrices_of_a_stack_and_blocks_of_rows_are_quantised_as_if_alone(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = torch.Generator().manual_seed(0)
    stack = torch.randn(3, 7, 200, generator=generator) * torch.tensor([1.0, 5.0, 0.1])[:, None, None]
    alone = [quantize(CONFIGS[name], matrix) for matrix in stack]
    monkeypatch.setattr("nanochat_framework.kernels.blocks.BLOCK_ELEMENTS", 450)
    together = quantize(CONFIGS[name], stack)
    for index, one in enumerate(alone):
        assert torch.equal(together.codes[index].float(), one.codes.float())
        assert torch.equal(together.scales[index], one.scales)
    assert torch.equal(together.dequantize()[1], alone[1].dequantize())


@settings(max_examples=40, deadline=None)
@given(weights(smallest=1e-2, largest=10.0), configs, st.integers(0, 2**31))
def test_gradients_are_those_of_a_linear_map_with_the_rounded_operands(
    weight: Tensor, config: QuantizerConfig, seed: int
) -> None:
    """The straight-through estimator: rounding has the derivative of the identity, without a mask."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, 3, weight.shape[1], generator=generator, requires_grad=True)
    linear = Linear(weight.shape[1], weight.shape[0])
    linear.weight.data.copy_(weight)
    linear.quantize_with(build(config))
    assert linear.quantizer is not None
    rounded_weight = quantize(config, weight).dequantize().requires_grad_()
    rounded_x = linear.quantizer.quantize_activations(x.detach()).requires_grad_()
    expected = functional.linear(rounded_x, rounded_weight)
    output = linear(x)
    torch.testing.assert_close(output, expected)
    incoming = torch.randn(expected.shape, generator=generator)
    torch.autograd.backward([output, expected], [incoming, incoming])
    torch.testing.assert_close(linear.weight.grad, rounded_weight.grad)
    torch.testing.assert_close(x.grad, rounded_x.grad)


@given(weights(smallest=1e-3, largest=1e3), st.sampled_from(["e4m3", "e5m2"]))
def test_activations_in_8_bit_floats_are_torchs_with_a_scale_a_row(x: Tensor, name: Any) -> None:
    quantizer = build(Fp8Config(format=name))
    rounded = quantizer.quantize_activations(x)
    alone = quantize(Fp8Config(format=name), x)
    assert torch.equal(rounded, alone.dequantize())
    assert torch.equal(quantizer.quantize_activations(rounded), rounded)
    narrow = quantizer.quantize_activations(x.bfloat16())
    assert narrow.dtype is torch.bfloat16
    assert torch.equal(narrow.float(), quantizer.quantize_activations(x.bfloat16().float()))
