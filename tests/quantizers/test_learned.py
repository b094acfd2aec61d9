"""Scales that are parameters: LSQ's gradient, their place in a model, and training them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.contracts.quantizer import LearnedScaleQuantizer
from nanochat_framework.data.loader import Batch
from nanochat_framework.model.build import build_model
from nanochat_framework.model.linear import Linear
from nanochat_framework.model.parameters import named_parameters
from nanochat_framework.planning.inventory import take_inventory
from nanochat_framework.planning.parameters import count_parameters
from nanochat_framework.training.train_module import TrainModule
from nanochat_quantizers.config import IntegerConfig
from tests.laws.combinations import COMBINATIONS, changes, random_tokens
from tests.quantizers.support import CONFIGS, build, quantize, weights

LEARNED = {name: config for name, config in CONFIGS.items() if "learned" in name}
names = st.sampled_from(sorted(LEARNED))


def learned(name: str) -> tuple[LearnedScaleQuantizer, IntegerConfig]:
    quantizer, config = build(LEARNED[name]), LEARNED[name]
    assert isinstance(quantizer, LearnedScaleQuantizer)
    assert isinstance(config, IntegerConfig)
    return quantizer, config


def spread(values: Tensor, weight: Tensor, config: IntegerConfig) -> Tensor:
    """One value a group, for every element, by a loop as plain as can be."""
    size = config.group_of(weight.shape[1])
    columns = [values[:, column // size] for column in range(weight.shape[1])]
    return torch.stack(columns, dim=1).expand(weight.shape)


class Round(torch.autograd.Function):
    """Rounding with the derivative 1."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.round()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


@given(weights(smallest=1e-2, largest=10.0), names, st.integers(0, 2**31))
def test_the_gradient_is_what_autograd_makes_of_lsqs_expression(weight: Tensor, name: str, seed: int) -> None:
    """clamp(w / s) rounded straight through, times s (Esser et al., equations 1 and 2), times the scale of gradients."""
    quantizer, config = learned(name)
    generator = torch.Generator().manual_seed(seed)
    parameters = quantizer.initial_scales(weight)
    parameters = parameters + 0.3 * torch.randn(parameters.shape, generator=generator)
    incoming = torch.randn(weight.shape, generator=generator)

    used = quantizer.quantize_with(weight, parameters).scales  # rounded to 8 or 11 bits, which has no derivative
    used = used[:1] if config.group_size == "tensor" else used
    logarithms = used.double().log().requires_grad_()
    scale = spread(logarithms.exp(), weight, config)
    ratio = (weight.double() / scale).clamp(config.smallest, config.largest)
    apply: Any = Round.apply
    (apply(ratio) * scale * incoming).sum().backward()

    assert logarithms.grad is not None
    shared = weight.shape[1] * weight.shape[0] if config.group_size == "tensor" else None
    size = config.group_of(weight.shape[1])
    widths = [min(size, weight.shape[1] - start) for start in range(0, weight.shape[1], size)]
    sharing = torch.tensor([shared or width for width in widths], dtype=torch.float64)
    expected = logarithms.grad / (sharing * config.largest).sqrt()
    found = quantizer.scale_gradient(weight, parameters, incoming)
    torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=1e-5)


def test_beyond_the_codes_it_is_the_slope_that_differences_show() -> None:
    """Where rounding plays no part the estimator is the derivative."""
    quantizer, _ = learned("ternary-learned-row")
    weight = torch.tensor([[3.0, -4.0, 5.0, 0.0]])
    incoming = torch.tensor([[0.5, 1.0, 2.0, 7.0]])
    parameters = torch.tensor([[0.0]])

    def loss(shift: float) -> float:
        moved = quantizer.quantize_with(weight, parameters + shift)
        return float((moved.dequantize() * incoming).sum())

    slope = (loss(0.25) - loss(-0.25)) / 0.5
    found = float(quantizer.scale_gradient(weight, parameters, incoming)) * (4 * 1) ** 0.5
    assert found == pytest.approx(1.5)  # 0.5 - 1 + 2
    assert slope == pytest.approx(found, rel=0.02)


@given(weights(), names)
def test_they_begin_with_the_scales_that_are_not_learned(weight: Tensor, name: str) -> None:
    quantizer, config = learned(name)
    other = "absmean" if config.largest == 1 else "absmax"
    begin = quantizer.quantize_with(weight, quantizer.initial_scales(weight))
    plain = quantize(CONFIGS[name.replace("learned", other)], weight)
    torch.testing.assert_close(begin.scales, plain.scales, rtol=2**-7, atol=0)  # a logarithm and its inverse
    again = quantizer.quantize_with(weight, quantizer.scales_of(begin))
    torch.testing.assert_close(again.scales, begin.scales, rtol=2**-7, atol=0)


def test_a_module_gains_and_loses_the_parameter() -> None:
    linear = Linear(70, 5)
    linear.quantize_with(build(LEARNED["ternary-learned-32"]))
    assert {p.name: (p.role, tuple(p.tensor.shape)) for p in named_parameters(linear)} == {
        "weight": ("matrix", (5, 70)),
        "weight_scales": ("quantizer_scale", (5, 3)),
    }
    before = linear.prepared(torch.float32).clone()
    with torch.no_grad():
        linear.get_parameter("weight_scales").add_(0.5)
    assert not torch.equal(linear.prepared(torch.float32), before), "a scale that moved makes other values"
    linear.quantize_with(None)
    assert [p.name for p in named_parameters(linear)] == ["weight"]


def _config(tiny_config: Callable[..., RunConfig], **more: Any) -> RunConfig:
    table = {"match": "*", "name": "ternary", "scale": "learned", "group_size": 32}
    return tiny_config(**{"quantizer": [table], "train__grad_clip": 0.0, **more})


def _step(module: TrainModule, step: int, n_micro_batches: int = 1) -> None:
    tokens = random_tokens(4, 17, seed=step)
    inputs, targets = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()
    module.step(
        [Batch(x, y) for x, y in zip(inputs.chunk(n_micro_batches), targets.chunk(n_micro_batches), strict=True)],
        step,
    )


@pytest.mark.parametrize("combination", ["gqa-swiglu-tied", "mha-relu2-untied", "top2", "hybrid"])
def test_every_scale_learns_and_goes_by_its_role(tiny_config: Callable[..., RunConfig], combination: str) -> None:
    optimizers = [
        {"match": "quantizer_scale", "name": "adamw", "lr": 0.01},
        {"match": "*", "name": "lion", "lr": 0.001},
    ]
    config = _config(tiny_config, **{**changes(combination), "quantizer": []}, optimizer=optimizers)
    config = _config(
        tiny_config, optimizer=optimizers, **{k: v for k, v in changes(combination).items() if k != "quantizer"}
    )
    module = TrainModule(config, torch.device("cpu"))
    scales = {p.name: p.tensor for p in module.parameters if p.role == "quantizer_scale"}
    assert len(scales) > 5
    assert not any("router" in name for name in scales)
    before = {name: tensor.detach().clone() for name, tensor in scales.items()}
    for step in (1, 2, 3):
        _step(module, step)
    assert [name for name, tensor in scales.items() if torch.equal(tensor, before[name])] == []
    assert {p.name for p in module.optimizers.groups[0].optimizer.parameters} == set(scales)


def test_micro_batches_give_the_gradient_of_one_batch(tiny_config: Callable[..., RunConfig]) -> None:
    config = _config(tiny_config)
    gradients = []
    for n_micro_batches in (1, 2, 4):
        module = TrainModule(config, torch.device("cpu"))
        _step(module, 1, n_micro_batches)
        gradients.append({p.name: p.tensor.grad for p in module.parameters if p.role == "quantizer_scale"})
    for other in gradients[1:]:
        torch.testing.assert_close(other, gradients[0], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("combination", COMBINATIONS)
def test_the_plan_counts_them(tiny_config: Callable[..., RunConfig], combination: str) -> None:
    config = _config(tiny_config, **{k: v for k, v in changes(combination).items() if k != "quantizer"})
    inventory = take_inventory(config)
    built = named_parameters(build_model(config.model, config.quantizer))
    assert {(t.spec.name, t.spec.shape, t.spec.role) for t in inventory.model} == {
        (p.name, tuple(p.tensor.shape), p.role) for p in built
    }
    assert count_parameters(inventory).total == sum(p.tensor.numel() for p in built)
