"""The ternary quantizer: golden values, and the scale that is a mean."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from nanochat_quantizers.config import TernaryConfig
from nanochat_quantizers.integers import IntegerQuantizer
from tests.quantizers.support import per_element, weights

GroupSize = int | Literal["row", "tensor"]
SMALLEST, LARGEST = 2.0**-24, 65280.0
"""Of the positive float16 numbers of at most 8 significant bits."""
group_sizes = st.sampled_from([32, 64, 256, "row", "tensor"])


def quantizer(group_size: GroupSize = 32, activation_bits: Literal[8, 0] = 8) -> IntegerQuantizer:
    return IntegerQuantizer(TernaryConfig(group_size=group_size, activation_bits=activation_bits))


def test_golden_values() -> None:
    """A group of four from the earlier system: s = 0.25, w / s = 1.6, -0.4, 0.2, -1.8."""
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
    torch.testing.assert_close(quantized.scales.double(), means, rtol=2**-8, atol=0)
    expected = (weight / per_element(quantized)).round().clamp(-1, 1)
    assert torch.equal(quantized.codes.float(), expected)


@given(weights(), group_sizes)
def test_codes_and_scales_are_what_they_must_be(weight: Tensor, group_size: GroupSize) -> None:
    quantized = quantizer(group_size).quantize(weight)
    assert quantized.codes.dtype is torch.int8
    assert set(quantized.codes.flatten().tolist()) <= {-1, 0, 1}
    for dtype in (torch.float16, torch.bfloat16):
        assert torch.equal(quantized.scales.to(dtype).float(), quantized.scales), "both hold the scales exactly"
        assert torch.equal(quantized.dequantize(dtype).float(), quantized.dequantize()), "and so the weights"
    assert bool((quantized.scales >= SMALLEST).all())
    assert bool((quantized.scales <= LARGEST).all())
    assert torch.equal(quantized.codes.sign().float() * weight.sign(), quantized.codes.abs().float())


@given(weights(smallest=1e-6, largest=6e4), group_sizes)
def test_the_scale_is_the_mean_magnitude_to_half_a_unit_of_bfloat16(weight: Tensor, group_size: GroupSize) -> None:
    quantized = quantizer(group_size).quantize(weight)
    size = weight.shape[1] if isinstance(group_size, str) else group_size
    for index, group in enumerate(torch.split(weight, size, dim=1)):
        mean = group.abs().double().mean(dim=1) if group_size != "tensor" else weight.abs().double().mean()
        scale = quantized.scales[:, index].double()
        half = 2.0 ** (scale.log2().floor() - 8)  # of bfloat16's last bit; then of float16's, among subnormal numbers
        half = half + torch.where(scale < 2.0**-14, SMALLEST / 2, 0.0)
        assert bool(((scale - mean.clamp(SMALLEST, LARGEST)).abs() <= 1.02 * half).all())


def test_zeros_and_extremes() -> None:
    weight = torch.zeros(4, 64)
    weight[1] = 1e-9
    weight[2] = 3e38
    weight[3, 0] = 2.0**-24
    quantized = quantizer(32).quantize(weight)
    assert quantized.scales[:, 0].tolist() == [SMALLEST, SMALLEST, LARGEST, SMALLEST]
    assert quantized.codes[0].abs().sum() == 0
    assert quantized.codes[1].abs().sum() == 0
    assert quantized.codes[2].tolist() == [1] * 64
    assert quantized.codes[3].tolist() == [1] + [0] * 63


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
