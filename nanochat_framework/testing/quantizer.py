"""The laws of a quantizer (`contracts.quantizer`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import SkipTest

import torch
from torch import Tensor
from torch.nn import functional

from nanochat_framework.config.quantizer_config import QuantizerConfig
from nanochat_framework.contracts.quantizer import LearnedScaleQuantizer, Quantizer
from nanochat_framework.model.linear import Linear
from nanochat_framework.model.quantized import QuantizedWeight
from nanochat_framework.testing.drawn_settings import for_settings
from nanochat_framework.testing.subject import Subject
from nanochat_framework.testing.suite import law
from nanochat_framework.testing.tensors import expect_close, normal

SETTINGS = 12
"""Settings, drawn at random, that a law is held to beside the component's own."""


def built(subject: Subject, settings: dict[str, Any] | None = None) -> Quantizer:
    """The quantizer with its own settings or others."""
    quantizer: Quantizer = subject.build(subject.selected(settings).config)
    return quantizer


def quantized(quantizer: Quantizer, weight: Tensor) -> QuantizedWeight:
    """Codes and scales; scales that are learned are as they begin."""
    if isinstance(quantizer, LearnedScaleQuantizer):
        return quantizer.quantize_with(weight, quantizer.initial_scales(weight))
    return quantizer.quantize(weight)


def the_factory_builds_the_contract(subject: Subject) -> None:
    """The factory returns a `Quantizer`, the configuration is a `QuantizerConfig`."""
    quantizer = built(subject)
    assert isinstance(quantizer, Quantizer), f"the factory returns a {type(quantizer).__name__}, which is no Quantizer"
    assert isinstance(subject.config, QuantizerConfig), "its configuration is no QuantizerConfig"


def codes_are_in_range(subject: Subject) -> None:
    """Codes have the values that `config.codes()` states, groups the size that `config.group_of` states."""

    def check(quantizer: Quantizer, config: QuantizerConfig, weight: Tensor) -> None:
        found, limits = quantized(quantizer, weight), config.codes()
        assert found.shape == weight.shape, f"a weight {tuple(weight.shape)} has codes {tuple(found.shape)}"
        values = found.codes.float()
        if limits is not None:
            low, high = float(values.min()), float(values.max())
            assert limits.smallest <= low and high <= limits.largest, (
                f"codes reach from {low:g} to {high:g}, config.codes() says {limits.smallest} .. {limits.largest}"
            )
            assert found.integer == (limits.kind == "integer"), (
                f"codes are {found.codes.dtype}, config.codes() {limits.kind}"
            )
        stated = config.group_of(weight.shape[-1])
        assert stated in (None, found.group_size), f"groups of {found.group_size}, config.group_of says {stated}"

    _for_weights(subject, check)


def scales_are_exact(subject: Subject) -> None:
    """Every scale is finite and a value that float16 holds exactly, or a power of two: files store what training used."""

    def check(quantizer: Quantizer, config: QuantizerConfig, weight: Tensor) -> None:
        scales = quantized(quantizer, weight).scales
        assert bool(scales.isfinite().all()), f"a scale is {scales[~scales.isfinite()][0].item()}"
        halves = scales.half().float() == scales
        powers = torch.frexp(scales.abs()).mantissa == 0.5
        assert bool((halves | powers).all()), (
            f"the scale {scales[~(halves | powers)][0].item()!r} is neither a float16 value nor a power of two"
        )

    _for_weights(subject, check)


def rounding_is_to_the_nearest(subject: Subject) -> None:
    """A code is the nearest to weight / scale, a tie goes to the even one; so a weight on its grid stays where it is."""

    def check(quantizer: Quantizer, config: QuantizerConfig, weight: Tensor) -> None:
        limits, found = config.codes(), quantized(quantizer, weight)
        if limits is None:
            raise SkipTest("config.codes() is None: which codes there are is not known")
        ratio, codes = weight / _spread(found), found.codes.float()
        if limits.kind == "integer":
            expected = ratio.round().clamp(limits.smallest, limits.largest)
        else:
            expected = ratio.clamp(limits.smallest, limits.largest).to(found.codes.dtype).float()
        tie = (ratio - ratio.floor() == 0.5) & (ratio > limits.smallest) & (ratio < limits.largest)
        wrong = (expected != codes).nonzero()
        if len(wrong):
            at = tuple(wrong[0].tolist())
            raise AssertionError(
                f"weight / scale {ratio[at].item():g} has the code {codes[at].item():g}, not {expected[at].item():g}"
                + (" (a tie goes to the even code)" if bool(tie[at]) else "")
            )

    _for_weights(subject, check)


def zeros_stay_zero(subject: Subject) -> None:
    """A weight of zero has the code zero, and a group, a row or a matrix of zeros harms nothing."""

    def check(quantizer: Quantizer, config: QuantizerConfig, weight: Tensor) -> None:
        for zeros in (torch.zeros(3, weight.shape[1]), weight * (torch.arange(weight.shape[1]) >= 32)):
            values = quantized(quantizer, zeros).dequantize()
            assert bool(values.isfinite().all()), "with a group of zeros a value is not finite"
            assert not bool(values[zeros == 0].any()), "a weight of zero became another number"

    _for_weights(subject, check)


def a_partial_group_is_trained(subject: Subject) -> None:
    """Any number of inputs can be quantised, also where the last group is not whole; only exporters may refuse it."""

    def check(quantizer: Quantizer, config: QuantizerConfig, weight: Tensor) -> None:
        for columns in (1, 31, 33, 70, 257):
            narrow = normal(3, columns, seed=columns)
            values = quantized(quantizer, narrow).dequantize()
            assert values.shape == narrow.shape and bool(values.isfinite().all()), (
                f"{columns} inputs cannot be quantised"
            )
            error = float((values - narrow).norm() / narrow.norm())
            assert error < 1.0, f"with {columns} inputs the rounding error is {error:.0%} of the weight's norm"

    _for_weights(subject, check)


def quantising_is_deterministic(subject: Subject) -> None:
    """The same weight has the same codes and scales each time, and is not changed by looking."""
    weight = normal(6, 96, seed=2)
    before, quantizer = weight.clone(), built(subject)
    first, second, anew = quantized(quantizer, weight), quantized(quantizer, weight), quantized(built(subject), weight)
    assert torch.equal(weight, before), "quantising changes the weight in place"
    for other in (second, anew):
        assert torch.equal(first.codes.float(), other.codes.float()), "codes differ between two calls"
        assert torch.equal(first.scales, other.scales), "scales differ between two calls"
    assert not first.scales.requires_grad, "scales carry a gradient; they are made without autograd"


def stacks_are_quantised_one_by_one(subject: Subject) -> None:
    """Of a stack (n, out_features, in_features) each matrix is quantised as if it were alone."""
    quantizer = built(subject)
    if isinstance(quantizer, LearnedScaleQuantizer):
        raise SkipTest("scales that are learned belong to one matrix")
    stack = normal(3, 5, 80) * torch.tensor([1.0, 9.0, 0.1])[:, None, None]
    together = quantizer.quantize(stack)
    for index, matrix in enumerate(stack):
        alone = quantizer.quantize(matrix)
        assert torch.equal(together.codes[index].float(), alone.codes.float()), (
            f"codes of matrix {index} of a stack differ"
        )
        assert torch.equal(together.scales[index], alone.scales), f"scales of matrix {index} of a stack differ"


def gradients_go_straight_through(subject: Subject) -> None:
    """Weight and input get the gradients of a product with the rounded operands: rounding counts as the identity."""

    def check(quantizer: Quantizer, config: QuantizerConfig, weight: Tensor) -> None:
        linear = Linear(weight.shape[1], weight.shape[0])
        linear.weight.data.copy_(weight)
        linear.quantize_with(quantizer)
        x = normal(2, 3, weight.shape[1], seed=4).requires_grad_()
        rounded_weight = quantized(quantizer, weight).dequantize().requires_grad_()
        rounded_x = quantizer.quantize_activations(x.detach()).requires_grad_()
        output, expected = linear(x), functional.linear(rounded_x, rounded_weight)
        expect_close(output, expected, "the product of rounded operands")
        incoming = normal(*expected.shape, seed=5)
        torch.autograd.backward([output, expected], [incoming, incoming])
        assert linear.weight.grad is not None and x.grad is not None, "no gradient goes through a quantised product"
        expect_close(linear.weight.grad, rounded_weight.grad, "the gradient of the weight")  # type: ignore[arg-type]
        expect_close(x.grad, rounded_x.grad, "the gradient of the input")  # type: ignore[arg-type]

    _for_weights(subject, check)


def activations_keep_to_themselves(subject: Subject) -> None:
    """Inputs are rounded position by position, to the same shape and dtype; zeros stay zeros."""
    quantizer, x = built(subject), normal(2, 6, 40, seed=6)
    for dtype in (torch.float32, torch.bfloat16):
        rounded = quantizer.quantize_activations(x.to(dtype))
        assert rounded.shape == x.shape and rounded.dtype == dtype, (
            f"{dtype} became {rounded.dtype} {tuple(rounded.shape)}"
        )
        assert not rounded.requires_grad, "rounded activations carry a gradient"
    changed = x.clone()
    changed[:, 4] *= 50
    others = [0, 1, 2, 3, 5]
    same = torch.equal(quantizer.quantize_activations(changed)[:, others], quantizer.quantize_activations(x)[:, others])
    assert same, "a position is rounded otherwise when another one changes: a model would look into the future"
    assert not bool(quantizer.quantize_activations(torch.zeros(2, 40)).any()), "zeros became other numbers"
    says = subject.config.rounds_activations()
    does = not torch.equal(quantizer.quantize_activations(x), x)
    assert says == does, f"config.rounds_activations() is {says}; activations are {'' if does else 'not '}rounded"


def scales_that_are_learned_learn(subject: Subject) -> None:
    """A `LearnedScaleQuantizer` gives its scales a gradient, in the shape it states; codes · scale has these scales again."""
    found = 0

    def check(quantizer: Quantizer, config: QuantizerConfig, weight: Tensor) -> None:
        nonlocal found
        stated = config.scale_parameters(tuple(weight.shape))
        assert (stated is not None) == isinstance(quantizer, LearnedScaleQuantizer), (
            f"config.scale_parameters says {stated}, the quantizer is a {type(quantizer).__name__}"
        )
        if not isinstance(quantizer, LearnedScaleQuantizer):
            return
        found += 1
        scales = quantizer.initial_scales(weight)
        assert tuple(scales.shape) == stated, f"scales begin as {tuple(scales.shape)}, scale_parameters says {stated}"
        gradient = quantizer.scale_gradient(weight, scales, normal(*weight.shape, seed=8))
        assert gradient.shape == scales.shape, f"the gradient of the scales is {tuple(gradient.shape)}"
        assert bool(gradient.any()) and bool(gradient.isfinite().all()), (
            "the gradient of the scales is dead or not finite"
        )
        first = quantizer.quantize_with(weight, scales)
        again = quantizer.quantize_with(first.dequantize(), quantizer.scales_of(first))
        assert torch.equal(first.dequantize(), again.dequantize()), (
            "scales_of does not give the scales of codes · scale"
        )

    _for_weights(subject, check)
    if not found:
        raise SkipTest("no setting of it learns scales")


def _for_weights(subject: Subject, check: Callable[[Quantizer, QuantizerConfig, Tensor], None]) -> None:
    """Call `check` with weights of several kinds, for the own settings and some that are drawn."""

    def with_settings(settings: dict[str, Any]) -> None:
        config = subject.selected(settings).config
        quantizer: Quantizer = subject.build(config)
        for weight in _weights(config):
            check(quantizer, config, weight)

    for_settings(subject, with_settings, examples=SETTINGS)


def _weights(config: QuantizerConfig) -> list[Tensor]:
    """Normal weights, some with outliers, and two in which many are halfway between codes if scales are 1."""
    plain = normal(5, 96, seed=1)
    outliers = normal(4, 100, seed=2)
    outliers[:, 7] *= 30
    limits = config.codes()
    top = 1 if limits is None or limits.kind != "integer" else limits.largest
    halves = (torch.arange(256) % (2 * top + 1) - top + 0.5).clamp(-top, top).repeat(2, 1)
    halves[:, ::32] = float(top)
    pairs = torch.tensor([0.5, -1.5, 1.5, -0.5]).repeat(2, 64)
    return [plain, outliers * 0.02, halves, pairs]


def _spread(found: QuantizedWeight) -> Tensor:
    """The scale of each element."""
    groups = torch.arange(found.shape[-1]) // found.group_size
    return found.scales[..., groups]


LAWS = tuple(
    map(
        law,
        (
            the_factory_builds_the_contract,
            codes_are_in_range,
            scales_are_exact,
            rounding_is_to_the_nearest,
            zeros_stay_zero,
            a_partial_group_is_trained,
            quantising_is_deterministic,
            stacks_are_quantised_one_by_one,
            gradients_go_straight_through,
            activations_keep_to_themselves,
            scales_that_are_learned_learn,
        ),
    )
)
