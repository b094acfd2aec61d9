"""Lion against the published update in double precision."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.optimizers.support import build, named, random_tensors, train, values

SHAPES = {"matrix": (17, 9), "vector": (33,), "scalar": ()}


def published(weights: dict[str, Tensor], n_steps: int) -> dict[str, Tensor]:
    """Algorithm 2 of arXiv 2302.06675 in float64; lr falls as 1 / step."""
    result: dict[str, Tensor] = {}
    for name, start in weights.items():
        w, m = start.double(), torch.zeros(()).double()
        for t in range(1, n_steps + 1):
            g = random_tensors(SHAPES, seed=1000 + t)[name].double()
            c = 0.9 * m + 0.1 * g
            w = w - 0.01 / t * (c.sign() + 0.1 * w)
            m = 0.99 * m + 0.01 * g
        result[name] = w
    return result


def test_the_published_update() -> None:
    start = random_tensors(SHAPES, seed=0)
    parameters = named(start)
    train(*build("lion", parameters, lr=0.01, weight_decay=0.1), range(1, 21), lr_falls=True)
    for name, expected in published(start, 20).items():
        torch.testing.assert_close(values(parameters)[name].double(), expected, rtol=0, atol=1e-6)


def test_a_weight_without_gradient_history_does_not_move() -> None:
    """sign(0) = 0: rows of an embedding that no token touched stay exactly where they are."""
    parameters = named({"embedding": torch.ones(4, 3)}, role="embedding")
    optimizer, hyperparameters = build("lion", parameters, lr=0.25)
    gradient = torch.zeros(4, 3)
    gradient[2] = -1e-20
    parameters[0].tensor.grad = gradient
    optimizer.step(hyperparameters)
    expected = torch.ones(4, 3)
    expected[2] = 1.25
    assert torch.equal(parameters[0].tensor.detach(), expected)


def test_decay_is_decoupled_from_the_gradient() -> None:
    parameters = named({"weight": torch.full((3, 2), 2.0)})
    optimizer, hyperparameters = build("lion", parameters, lr=0.5, weight_decay=0.25)
    parameters[0].tensor.grad = torch.zeros(3, 2)
    optimizer.step(hyperparameters)
    assert torch.equal(parameters[0].tensor.detach(), torch.full((3, 2), 2.0 * (1 - 0.5 * 0.25)))


def test_a_parameter_without_gradient_is_left_alone() -> None:
    start = random_tensors(SHAPES, seed=0)
    parameters = named(start)
    optimizer, hyperparameters = build("lion", parameters, weight_decay=0.5)
    parameters[0].tensor.grad = torch.ones(17, 9)
    optimizer.step(hyperparameters)
    assert not torch.equal(parameters[0].tensor, start["matrix"])
    assert torch.equal(parameters[1].tensor, start["vector"])
    optimizer.step({**hyperparameters, "lr": 0.0})
    parameters[0].tensor.grad = None
    before = values(parameters)
    optimizer.step(hyperparameters)
    torch.testing.assert_close(values(parameters), before, rtol=0, atol=0)
