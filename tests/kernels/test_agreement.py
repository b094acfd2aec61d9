"""Every registered kernel agrees with the naive form of its operation, forward and backward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nanochat_framework.kernels import blocks, naive
from nanochat_framework.kernels.table import NAIVE, missing_capabilities
from nanochat_framework.plugins import load_plugins
from nanochat_framework.plugins.component import Component

KERNELS = load_plugins(environ={"NANOCHAT_LOAD_PLUGINS": ""}).registry.components("kernel")
RUNNABLE = [kernel for kernel in KERNELS if not missing_capabilities(kernel, "cpu")]
DTYPES = (torch.float32, torch.bfloat16)
EPS = 1e-6


@pytest.fixture(autouse=True, params=[blocks.BLOCK_ELEMENTS, 64], ids=["blocks", "small-blocks"])
def block_size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small shapes are one block; with small blocks they are several."""
    monkeypatch.setattr(blocks, "BLOCK_ELEMENTS", request.param)


def of(operation: str) -> list[Any]:
    return [
        pytest.param(call(kernel), id=kernel.name) for kernel in RUNNABLE if kernel.traits["operation"] == operation
    ]


def call(kernel: Component) -> Callable[..., Tensor]:
    function: Callable[..., Tensor] = kernel.load_factory()(kernel.config_class()())
    return function


def test_each_kernel_is_of_an_operation_of_the_core() -> None:
    assert {kernel.traits["operation"] for kernel in KERNELS} <= set(NAIVE)
    assert RUNNABLE, "nothing below tests anything otherwise"


@st.composite
def activations(draw: st.DrawFn) -> Tensor:
    """(batch, seq, dim) of odd sizes, any magnitude, with rows of zeros, and not always contiguous."""
    batch, seq, dim = draw(st.integers(1, 3)), draw(st.integers(1, 5)), draw(st.integers(1, 100))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    x = torch.randn(batch, seq, dim, generator=generator) * 10.0 ** draw(st.integers(-9, 9))
    if draw(st.booleans()):
        x[draw(st.integers(0, batch - 1))] = 0.0
    if draw(st.booleans()):
        x = x.transpose(0, 1)
    return x.to(draw(st.sampled_from(DTYPES)))


@settings(deadline=None)
@pytest.mark.parametrize("kernel", of("quantize_activations"))
@given(x=activations())
def test_quantize_activations(kernel: Callable[..., Tensor], x: Tensor) -> None:
    before = x.clone()
    found = kernel(x.requires_grad_())
    assert torch.equal(found, naive.quantize_activations(x).detach())
    assert found.dtype is x.dtype
    assert not found.requires_grad
    assert torch.equal(x, before)


@pytest.mark.parametrize("kernel", of("quantize_activations"))
@pytest.mark.parametrize("largest", [3e38, 1e-8, 1e-9, 1e-44, 127.0])
def test_the_largest_activation_of_a_row_becomes_127(kernel: Callable[..., Tensor], largest: float) -> None:
    """At the ends of the range too, where the naive form's clamp could have mattered."""
    x = torch.linspace(-largest, largest, 129, dtype=torch.float64).float()[None]
    assert torch.equal(kernel(x), naive.quantize_activations(x))


@settings(deadline=None)
@pytest.mark.parametrize("kernel", of("rms_norm"))
@given(x=activations(), affine=st.booleans(), seed=st.integers(0, 2**31))
def test_rms_norm(kernel: Callable[..., Tensor], x: Tensor, affine: bool, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(x.shape[-1], generator=generator) if affine else None
    incoming = torch.randn(x.shape, generator=generator).to(x.dtype)
    results = []
    for function in (kernel, naive.rms_norm):
        inputs = [x.detach().clone().requires_grad_()]
        if weight is not None:
            inputs.append(weight.clone().requires_grad_())
        output = function(inputs[0], inputs[1] if affine else None, EPS)
        assert output.dtype is x.dtype
        results.append([output.detach(), *torch.autograd.grad(output, inputs, incoming)])
    (output, *gradients), (expected, *expected_gradients) = results
    assert torch.equal(output, expected)
    with torch.no_grad():
        assert torch.equal(kernel(x, weight, EPS), expected)
    for gradient, wanted, scale in zip(
        gradients, expected_gradients, gradient_scales(x.detach(), weight, incoming), strict=False
    ):
        assert gradient.dtype is wanted.dtype
        accuracy = {torch.float32: 1e-5, torch.bfloat16: 2.0**-7}[gradient.dtype]
        assert bool(((gradient - wanted).abs().float() <= accuracy * scale).all())


def gradient_scales(x: Tensor, weight: Tensor | None, incoming: Tensor) -> tuple[Tensor, Tensor]:
    """What gradients by x and by the weight are sums of, in size: rounding is relative to that, not to the sums."""
    wide, upper = x.float(), incoming.float().abs()
    root = torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + EPS)
    by_weight = (upper * (wide * root).abs()).sum(dim=(0, 1))
    return (upper if weight is None else upper * weight.abs()).amax(dim=-1, keepdim=True) * root, by_weight


@pytest.mark.parametrize("kernel", of("rms_norm"))
@pytest.mark.parametrize("affine", [True, False])
def test_the_gradient_of_rms_norm_is_that_of_finite_differences(kernel: Callable[..., Tensor], affine: bool) -> None:
    """The kernel computes in float32, so the differences are taken in float64 from the naive formula."""
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(5, 24, generator=generator), torch.randn(24, generator=generator)
    incoming, step = torch.randn(5, 24, generator=generator).double(), 1e-5

    def loss(x: Tensor) -> Tensor:
        normed = x / (x.square().mean(dim=-1, keepdim=True) + EPS).sqrt()
        return (normed * (weight.double() if affine else 1.0) * incoming).sum()

    wanted = torch.empty(5, 24, dtype=torch.float64)
    for row in range(5):
        for column in range(24):
            shift = torch.zeros(5, 24, dtype=torch.float64)
            shift[row, column] = step
            wanted[row, column] = (loss(x.double() + shift) - loss(x.double() - shift)) / (2 * step)
    x.requires_grad_()
    (found,) = torch.autograd.grad(kernel(x, weight if affine else None, EPS), [x], incoming.float())
    torch.testing.assert_close(found.double(), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kernel", of("rms_norm"))
def test_only_what_needs_a_gradient_gets_one(kernel: Callable[..., Tensor]) -> None:
    x, weight = torch.randn(3, 8), torch.randn(8, requires_grad=True)
    torch.autograd.backward(kernel(x, weight, EPS).sum())
    assert x.grad is None
    assert weight.grad is not None


@settings(deadline=None)
@pytest.mark.parametrize("kernel", of("grouped_mm"))
@given(
    sizes=st.lists(st.integers(0, 9), min_size=1, max_size=5),
    width=st.sampled_from([8, 24]),
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 2**31),
)
def test_grouped_mm(kernel: Callable[..., Tensor], sizes: list[int], width: int, dtype: torch.dtype, seed: int) -> None:
    """Rows in groups, empty ones too, times the groups' matrices; and the product of two for each group."""
    generator = torch.Generator().manual_seed(seed)
    ends = torch.tensor(sizes).cumsum(0).int()
    a = torch.randn(int(ends[-1]), 16, generator=generator).to(dtype)
    weights = torch.randn(len(sizes), width, 16, generator=generator).to(dtype)
    other = torch.randn(int(ends[-1]), width, generator=generator).to(dtype)
    for operands in ((a, weights.transpose(1, 2)), (other, weights), (other.t(), a)):
        expected = naive.grouped_mm(*operands, ends)
        torch.testing.assert_close(kernel(*operands, ends), expected, rtol=2e-2, atol=2e-2)
        assert expected.dtype is dtype
