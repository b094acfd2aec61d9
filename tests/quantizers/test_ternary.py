"""The ternary quantizer: golden values, and what holds for every weight."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional

from nanochat_framework.kernels.naive import quantize_activations
from nanochat_framework.model.linear import Linear
from nanochat_framework.model.quantized import QuantizedWeight
from nanochat_quantizers.config import TernaryConfig
from nanochat_quantizers.ternary import Ternary, build_ternary, ternary_codes

GroupSize = int | Literal["row", "tensor"]
SMALLEST = 2.0**-24


def quantizer(group_size: GroupSize = 32, activation_bits: Literal[8, 0] = 8) -> Ternary:
    return build_ternary(TernaryConfig(group_size=group_size, activation_bits=activation_bits))


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


group_sizes = st.sampled_from([32, 64, 256, "row", "tensor"])


def per_element(quantized: QuantizedWeight) -> Tensor:
    """The scale of each element, by a loop as plain as can be."""
    scales = torch.empty(quantized.shape)
    for column in range(quantized.shape[-1]):
        scales[..., column] = quantized.scales[..., column // quantized.group_size]
    return scales


def test_golden_values() -> None:
    """A group of four from the seed system: s = 0.25, w / s = 1.6, -0.4, 0.2, -1.8."""
    quantized = quantizer("row").quantize(torch.tensor([[0.4, -0.1, 0.05, -0.45]]))
    assert quantized.codes.tolist() == [[1, 0, 0, -1]]
    assert quantized.scales.tolist() == [[0.25]]
    assert quantized.dequantize().tolist() == [[0.25, 0.0, 0.0, -0.25]]


def test_half_a_scale_rounds_to_zero() -> None:
    weight = torch.tensor([[1.0, -1.0, 1.75, -1.75, 0.5, -0.5, 0.75, 0.75]])
    quantized = quantizer("row").quantize(weight)
    assert quantized.scales.item() == 1.0
    assert quantized.codes.tolist() == [[1, -1, 1, -1, 0, 0, 1, 1]]


def test_groups_run_along_the_inputs_and_the_last_may_be_partial() -> None:
    weight = torch.ones(3, 70)
    weight[:, 32:64] = 0.5
    weight[:, 64:] = torch.tensor([4.0, -2.0, 0.0, 0.0, 0.0, 0.0])
    weight[2] *= 2
    quantized = quantizer(32).quantize(weight)
    assert quantized.group_size == 32
    assert quantized.scales.tolist() == [[1.0, 0.5, 1.0], [1.0, 0.5, 1.0], [2.0, 1.0, 2.0]]
    assert quantized.codes[0, 64:].tolist() == [1, -1, 0, 0, 0, 0]


def test_rows_and_tensors_have_one_scale() -> None:
    weight = torch.tensor([[1.0, 3.0], [0.25, 0.75]])
    assert quantizer("row").quantize(weight).scales.tolist() == [[2.0], [0.5]]
    tensor = quantizer("tensor").quantize(weight)
    assert tensor.scales.tolist() == [[1.25], [1.25]]
    assert tensor.codes.tolist() == [[1, 1], [0, 1]]


def test_a_stack_of_matrices_is_quantised_matrix_by_matrix() -> None:
    stack = (
        torch.randn(3, 5, 70, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 5.0, 0.1])[:, None, None]
    )
    for group_size in (32, "row", "tensor"):
        together = quantizer(group_size).quantize(stack)
        for index, matrix in enumerate(stack):
            alone = quantizer(group_size).quantize(matrix)
            assert torch.equal(together.codes[index], alone.codes)
            assert torch.equal(together.scales[index], alone.scales)


@pytest.mark.parametrize("group_size", [256, 96, "row", "tensor"])
def test_large_matrices_are_as_if_quantised_at_once(group_size: GroupSize) -> None:
    """Blocks of rows are only a matter of speed."""
    weight = torch.randn(1500, 700, generator=torch.Generator().manual_seed(0))
    quantized = quantizer(group_size).quantize(weight)
    size = 700 if isinstance(group_size, str) else group_size
    groups = torch.split(weight, size, dim=1)
    means = torch.stack([group.abs().double().mean(dim=1) for group in groups], dim=1)
    if group_size == "tensor":
        means = weight.abs().double().mean().expand(1500, 1)
    torch.testing.assert_close(quantized.scales.double(), means, rtol=2**-11, atol=0)
    expected = (weight / per_element(quantized)).round().clamp(-1, 1)
    assert torch.equal(quantized.codes.float(), expected)


@given(weights(), group_sizes)
def test_codes_and_scales_are_what_they_must_be(weight: Tensor, group_size: GroupSize) -> None:
    quantized = quantizer(group_size).quantize(weight)
    assert quantized.codes.dtype is torch.int8
    assert set(quantized.codes.flatten().tolist()) <= {-1, 0, 1}
    assert torch.equal(quantized.scales.half().float(), quantized.scales), "float16 holds the scales exactly"
    assert bool((quantized.scales >= SMALLEST).all())
    assert bool((quantized.scales <= 65504.0).all())
    assert torch.equal(quantized.codes.sign().float() * weight.sign(), quantized.codes.abs().float())


@given(weights(smallest=1e-6, largest=6e4), group_sizes)
def test_the_scale_is_the_mean_magnitude_to_half_a_unit_of_float16(weight: Tensor, group_size: GroupSize) -> None:
    quantized = quantizer(group_size).quantize(weight)
    size = weight.shape[1] if isinstance(group_size, str) else group_size
    for index, group in enumerate(torch.split(weight, size, dim=1)):
        mean = group.abs().double().mean(dim=1) if group_size != "tensor" else weight.abs().double().mean()
        scale = quantized.scales[:, index].double()
        unit = torch.where(scale < 2.0**-14, torch.full_like(scale, SMALLEST), scale * 2.0**-10)
        assert bool(((scale - mean.clamp(SMALLEST, 65504.0)).abs() <= 0.51 * unit).all())


@given(weights(), group_sizes)
def test_the_error_is_half_a_scale_or_what_lies_beyond_one(weight: Tensor, group_size: GroupSize) -> None:
    quantized = quantizer(group_size).quantize(weight)
    scale = per_element(quantized)
    error = (weight - quantized.dequantize()).abs()
    bound = torch.maximum(scale / 2, weight.abs() - scale)
    assert bool((error <= bound * (1 + 1e-6)).all())


@given(weights(), group_sizes)
def test_codes_are_stable_under_quantising_again(weight: Tensor, group_size: GroupSize) -> None:
    """With the same scale by definition, and with the scale found anew because that is never larger."""
    quantized = quantizer(group_size).quantize(weight)
    values = quantized.dequantize()
    assert torch.equal(ternary_codes(values, per_element(quantized)), quantized.codes.float())
    assert torch.equal(quantizer(group_size).quantize(values).codes, quantized.codes)


@given(weights(smallest=1e-2, largest=10.0), group_sizes, st.integers(-5, 5))
def test_doubling_the_weight_doubles_the_scale(weight: Tensor, group_size: GroupSize, exponent: int) -> None:
    factor = 2.0**exponent
    quantized = quantizer(group_size).quantize(weight)
    assume(bool((quantized.scales.min() * min(factor, 1.0)) >= 2.0**-14))
    scaled = quantizer(group_size).quantize(weight * factor)
    assert torch.equal(scaled.scales, quantized.scales * factor)
    assert torch.equal(scaled.codes, quantized.codes)


@given(weights(), group_sizes)
def test_turning_the_sign_turns_the_codes(weight: Tensor, group_size: GroupSize) -> None:
    quantized, turned = (quantizer(group_size).quantize(w) for w in (weight, -weight))
    assert torch.equal(turned.codes, -quantized.codes)
    assert torch.equal(turned.scales, quantized.scales)


def test_zeros_and_extremes() -> None:
    weight = torch.zeros(4, 64)
    weight[1] = 1e-9
    weight[2] = 3e38
    weight[3, 0] = 2.0**-24
    quantized = quantizer(32).quantize(weight)
    assert quantized.scales[:, 0].tolist() == [SMALLEST, SMALLEST, 65504.0, SMALLEST]
    assert quantized.codes[0].abs().sum() == 0
    assert quantized.codes[1].abs().sum() == 0
    assert quantized.codes[2].tolist() == [1] * 64
    assert quantized.codes[3].tolist() == [1] + [0] * 63


def test_what_is_not_finite_stays_visible() -> None:
    """A weight that went to NaN must not come back as a number."""
    weight = torch.ones(2, 32)
    weight[0, 3] = float("nan")
    values = quantizer(32).quantize(weight).dequantize()
    assert bool(values[0].isnan().all())
    assert torch.equal(values[1], torch.ones(32))


@settings(max_examples=25, deadline=None)
@given(weights(smallest=1e-2, largest=10.0), group_sizes, st.sampled_from([8, 0]), st.integers(0, 2**31))
def test_gradients_are_those_of_a_linear_map_with_the_rounded_operands(
    weight: Tensor, group_size: GroupSize, activation_bits: Literal[8, 0], seed: int
) -> None:
    """The straight-through estimator: rounding has the derivative of the identity, without a mask."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, 3, weight.shape[1], generator=generator, requires_grad=True)
    linear = Linear(weight.shape[1], weight.shape[0])
    linear.weight.data.copy_(weight)
    linear.quantizer = quantizer(group_size, activation_bits)

    rounded_weight = linear.quantizer.quantize(weight).dequantize().requires_grad_()
    rounded_x = (quantize_activations(x) if activation_bits else x).detach().requires_grad_()
    expected = functional.linear(rounded_x, rounded_weight)
    output = linear(x)
    torch.testing.assert_close(output, expected)

    incoming = torch.randn(expected.shape, generator=generator)
    torch.autograd.backward([output, expected], [incoming, incoming])
    torch.testing.assert_close(linear.weight.grad, rounded_weight.grad)
    torch.testing.assert_close(x.grad, rounded_x.grad)


def test_quantising_leaves_the_weight_and_the_graph_alone() -> None:
    weight = torch.randn(4, 64, requires_grad=True)
    before = weight.detach().clone()
    quantized = quantizer(32).quantize(weight)
    assert torch.equal(weight.detach(), before)
    assert not quantized.scales.requires_grad


def test_activations_are_rounded_only_if_asked() -> None:
    x = torch.tensor([[1.0, -0.5, 0.25], [0.0, 0.0, 0.0]])
    rounded = quantizer(activation_bits=8).quantize_activations(x)
    expected = torch.tensor([[127.0, -64.0, 32.0], [0.0, 0.0, 0.0]]) / 127
    torch.testing.assert_close(rounded, expected, rtol=1e-7, atol=0)
    assert quantizer(activation_bits=0).quantize_activations(x) is x


@pytest.mark.parametrize("group_size", [0, -32, 100, 31, 32.5, "rows", True, None])
def test_a_wrong_group_size_is_one_error(group_size: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        TernaryConfig(group_size=group_size)
    (error,) = caught.value.errors()
    assert error["loc"] == ("group_size",)
    assert error["msg"] == f"a group is a multiple of 32 inputs, 'row' or 'tensor', not {group_size!r}"
