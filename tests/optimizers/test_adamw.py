"""AdamW against torch's, and against the published update in double precision."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.optimizers.support import build, named, random_tensors, train, values

SHAPES = {"matrix": (17, 9), "vector": (33,), "scalar": ()}
SETTINGS = {"lr": 0.01, "weight_decay": 0.1, "betas": (0.9, 0.95), "eps": 1e-8}


def published(weights: dict[str, Tensor], n_steps: int) -> dict[str, Tensor]:
    """Algorithm 2 of arXiv 1711.05101, decay multiplied by the learning rate, in float64; lr falls as 1 / step."""
    result: dict[str, Tensor] = {}
    for name, start in weights.items():
        w, m, v = start.double(), torch.zeros(()).double(), torch.zeros(()).double()
        for t in range(1, n_steps + 1):
            g = random_tensors(SHAPES, seed=1000 + t)[name].double()
            lr = 0.01 / t
            w = w - lr * 0.1 * w
            m, v = 0.9 * m + 0.1 * g, 0.95 * v + 0.05 * g**2
            w = w - lr * (m / (1 - 0.9**t)) / ((v / (1 - 0.95**t)).sqrt() + 1e-8)
        result[name] = w
    return result


def test_the_published_update() -> None:
    start = random_tensors(SHAPES, seed=0)
    parameters = named(start)
    train(*build("adamw", parameters, **SETTINGS), range(1, 21), lr_falls=True)
    expected = published(start, 20)
    for name, weight in values(parameters).items():
        torch.testing.assert_close(weight.double(), expected[name], rtol=0, atol=1e-6)
        assert (weight - start[name]).abs().min() > 1e-4


def test_the_same_as_torch() -> None:
    start = random_tensors(SHAPES, seed=0)
    parameters, theirs = named(start), named(start)
    torch_adamw = torch.optim.AdamW([p.tensor for p in theirs], **SETTINGS, foreach=False)  # type: ignore[arg-type]
    train(*build("adamw", parameters, **SETTINGS), range(1, 21))
    for step in range(1, 21):
        for parameter, gradient in zip(theirs, random_tensors(SHAPES, seed=1000 + step).values(), strict=True):
            parameter.tensor.grad = gradient
        torch_adamw.step()
    torch.testing.assert_close(values(parameters), values(theirs), rtol=1e-6, atol=1e-6)


def test_bias_correction_counts_each_parameters_own_updates() -> None:
    """A parameter that had no gradient at first gets the same first update as one that had."""
    start = random_tensors({"early": (4, 4), "late": (4, 4)}, seed=0)
    parameters = named({"early": start["early"], "late": start["early"]})
    optimizer, hyperparameters = build("adamw", parameters, **SETTINGS)
    gradient = torch.randn(4, 4)
    early, late = parameters
    early.tensor.grad = gradient
    optimizer.step(hyperparameters)
    after_first = early.tensor.detach().clone()
    assert torch.equal(late.tensor, start["early"])
    assert optimizer.state()["late"]["step"] == 0
    early.tensor.grad, late.tensor.grad = torch.zeros(4, 4), gradient
    optimizer.step(hyperparameters)
    assert torch.equal(late.tensor, after_first)
    assert [int(optimizer.state()[name]["step"]) for name in ("early", "late")] == [2, 1]
