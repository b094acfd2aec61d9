"""Weights, gradients and optimizers for the tests of update rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nanochat_framework.contracts.optimizer import NamedParameter, Optimizer
from nanochat_framework.plugins import load_plugins
from nanochat_framework.training.optimizer_groups import scheduled_values

REGISTRY = load_plugins(environ={"NANOCHAT_LOAD_PLUGINS": ""}).registry
Shapes = Mapping[str, tuple[int, ...]]
Built = tuple[Optimizer, dict[str, float]]


def random_tensors(shapes: Shapes, seed: int) -> dict[str, Tensor]:
    """Normal float32 tensors, the same for one seed."""
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def named(
    weights: Mapping[str, Tensor], role: str = "matrix", heads: Mapping[str, int] | None = None
) -> list[NamedParameter]:
    """Parameters with copies of the weights."""
    heads = heads or {}
    return [
        NamedParameter(name, role, nn.Parameter(weight.clone()), heads.get(name, 1)) for name, weight in weights.items()
    ]


def build(name: str, parameters: Sequence[NamedParameter], **settings: Any) -> Built:
    """An optimizer and its configured hyperparameters; what torchao supplies is not compiled unless asked for."""
    if name == "adamw_8bit":
        pytest.importorskip("torchao", reason="adamw_8bit is torchao's: pip install 'nanochat-framework[torchao]'")
        settings = {"compile": False, **settings}
    component = REGISTRY.get("optimizer", name)
    config = component.config_class()(**settings)
    optimizer: Optimizer = component.load_factory()(config, parameters=parameters)
    return optimizer, scheduled_values(config)


def train(optimizer: Optimizer, hyperparameters: Mapping[str, float], steps: range, *, lr_falls: bool = False) -> None:
    """Steps with random gradients, each step's the same whenever it is taken; the rate may fall as 1 / step."""
    for step in steps:
        shapes = {p.name: tuple(p.tensor.shape) for p in optimizer.parameters}
        gradients = random_tensors(shapes, seed=1000 + step)
        for parameter in optimizer.parameters:
            parameter.tensor.grad = gradients[parameter.name]
        lr = hyperparameters["lr"] / (step if lr_falls else 1)
        optimizer.step({**hyperparameters, "lr": lr})


def values(parameters: Sequence[NamedParameter]) -> dict[str, Tensor]:
    """Copies of the weights."""
    return {p.name: p.tensor.detach().clone() for p in parameters}


def orthogonalized(matrix: Tensor) -> Tensor:
    """Five Newton-Schulz iterations as published, one matrix, in float64."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x: Tensor = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / x.norm()
    for _ in range(5):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if matrix.shape[0] > matrix.shape[1] else x
