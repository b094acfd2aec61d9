"""Muon's options against the published equations in double precision: NorMuon, cautious decay, heads by themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.errors import UsageError
from nanochat_framework.model.build import build_model
from nanochat_framework.model.parameters import named_parameters
from nanochat_optimizers.neurons import even_out_
from tests.optimizers.support import build, named, orthogonalized, random_tensors, train, values

SHAPES = {"square": (16, 16), "square_2": (16, 16), "wide": (8, 24), "tall": (24, 8), "stack": (3, 24, 8)}
FP32: dict[str, Any] = {"orthogonalize_in": "fp32"}


def reference(start: Tensor, name: str, n_steps: int, *, beta2: float | None, cautious: bool) -> Tensor:
    """Algorithm 1 of NorMuon with its code's norm, and cautious decay, one matrix at a time in float64; lr falls."""
    w, buffer = start.double(), torch.zeros_like(start, dtype=torch.float64)
    v = torch.zeros(*start.shape[:-1], 1, dtype=torch.float64)
    rows, columns = start.shape[-2:]
    for t in range(1, n_steps + 1):
        g = random_tensors(SHAPES, seed=1000 + t)[name].double()
        buffer = 0.95 * buffer + 0.05 * g
        direction = (0.05 * g + 0.95 * buffer).reshape(-1, rows, columns)
        update = torch.stack([orthogonalized(matrix) for matrix in direction]).reshape(w.shape)
        if beta2 is not None:
            norm = update.norm(dim=(-2, -1), keepdim=True)
            v = beta2 * v + (1 - beta2) * update.square().mean(dim=-1, keepdim=True)
            update = update / v.sqrt()
            update = update * norm / update.norm(dim=(-2, -1), keepdim=True)
        decays = (w * update >= 0).double() if cautious else 1.0
        lr = 0.02 / t
        w = w - lr * 0.1 * decays * w - lr * max(1, rows / columns) ** 0.5 * update
    return w


@pytest.mark.parametrize(("beta2", "cautious"), [(0.95, False), (None, True), (0.5, True)])
def test_the_published_update(beta2: float | None, cautious: bool) -> None:
    start = random_tensors(SHAPES, seed=0)
    parameters = named(start)
    options = {"neuron_beta2": beta2, "cautious_decay": cautious, **FP32}
    train(*build("muon", parameters, weight_decay=0.1, **options), range(1, 11), lr_falls=True)
    for name, weight in values(parameters).items():
        expected = reference(start[name], name, 10, beta2=beta2, cautious=cautious)
        other = reference(start[name], name, 10, beta2=None, cautious=False)
        torch.testing.assert_close(weight.double(), expected, rtol=0, atol=4e-6)
        assert (expected - other).abs().max() > 1e-4


def test_cautious_decay_leaves_weights_that_grow() -> None:
    """A step that takes a weight away from zero does not also pull it back."""
    parameters = named({"weight": torch.full((4, 4), 2.0)})
    optimizer, hyperparameters = build("muon", parameters, weight_decay=0.5, cautious_decay=True, **FP32)
    away, toward = -torch.eye(4), torch.eye(4)
    for gradient, on_diagonal, elsewhere in ((away, 2.0 + 0.02, 2.0 * 0.99), (toward, 2.0 * 0.99 - 0.02, 2.0 * 0.99)):
        with torch.no_grad():
            parameters[0].tensor.fill_(2.0)
        parameters[0].tensor.grad = gradient.clone()
        optimizer.load_state({})
        optimizer.step(hyperparameters)
        moved = parameters[0].tensor.detach()
        torch.testing.assert_close(moved.diagonal(), torch.full((4,), on_diagonal), rtol=0, atol=0.006)
        torch.testing.assert_close(moved[~torch.eye(4, dtype=torch.bool)], torch.full((12,), elsewhere))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_end_with_one_size_and_matrices_keep_theirs(dtype: torch.dtype) -> None:
    """On the first step every row is divided by its own RMS; a row of zeros stays one."""
    generator = torch.Generator().manual_seed(0)
    matrices = torch.randn(3, 10, 20, generator=generator) * torch.rand(3, 10, 1, generator=generator).add(0.1)
    matrices[1, 4] = 0.0
    found = matrices.to(dtype, copy=True)
    averages = [torch.zeros(2, 10), torch.zeros(10)]
    even_out_(found, averages, 0.9)
    tolerance = 1e-5 if dtype is torch.float32 else 2e-2
    norms, lengths = matrices.norm(dim=(1, 2)), found.float().norm(dim=2)
    torch.testing.assert_close(found.float().norm(dim=(1, 2)), norms, rtol=tolerance, atol=0)
    assert lengths[1, 4] == 0.0
    torch.testing.assert_close(lengths[0], (norms[0] / 10**0.5).expand(10), rtol=tolerance, atol=0)
    expected = 0.1 * matrices.to(dtype).float().square().mean(dim=2)
    torch.testing.assert_close(torch.stack([*averages[0], averages[1]]), expected)


@pytest.mark.parametrize("name", ["muon", "muon_8bit"])
@pytest.mark.parametrize("beta2", [None, 0.95])
def test_heads_are_matrices_of_their_own(name: str, beta2: float | None) -> None:
    """As if each head's rows were a parameter; the map without heads is not split."""
    start = random_tensors({"query": (24, 16), "key": (8, 16), "tall": (64, 16), "output": (16, 24)}, seed=0)
    heads = {"query": 6, "key": 2, "tall": 2}
    together = named(start, heads=heads)
    rows = {n: list(w.chunk(heads.get(n, 1))) for n, w in start.items()}
    apart = named({f"{n}_{i}": part for n, parts in rows.items() for i, part in enumerate(parts)})
    options = {"neuron_beta2": beta2, "weight_decay": 0.1, **FP32}
    optimizers = [build("muon", apart, **options), build(name, together, split_heads=True, **options)]
    for step in range(2):
        gradients = random_tensors({n: tuple(w.shape) for n, w in start.items()}, seed=1 + step)
        for parameter in together:
            parameter.tensor.grad = gradients[parameter.name]
        for parameter in apart:
            whole, _, index = parameter.name.rpartition("_")
            parameter.tensor.grad = gradients[whole].chunk(heads.get(whole, 1))[int(index)]
        for optimizer, hyperparameters in optimizers:
            optimizer.step(hyperparameters)
        if name == "muon_8bit":
            break  # the first step's momentum has not been rounded yet
    found = values(apart)
    for whole, weight in values(together).items():
        expected = torch.cat([found[f"{whole}_{i}"] for i in range(heads.get(whole, 1))])
        torch.testing.assert_close(weight, expected, rtol=0, atol=1e-6)


def test_splitting_what_has_no_heads_is_refused() -> None:
    with pytest.raises(UsageError, match=r"split_heads: no parameter of this table has rows that belong to several"):
        build("muon", named({"up": torch.zeros(8, 4)}), split_heads=True)


@pytest.mark.parametrize(
    ("attention", "expected"),
    [
        (
            {"name": "gqa", "n_heads": 4, "n_kv_heads": 2, "head_dim": 16, "output_gate": True},
            {"query": 4, "key": 2, "value": 2, "gate": 4, "output": 1},
        ),
        (
            {"name": "deltanet", "n_heads": 2, "n_value_heads": 4, "head_dim": 16},
            {"query": 2, "key": 2, "value": 4, "gate": 4, "output": 1},
        ),
    ],
)
def test_attentions_say_how_many_heads_their_maps_have(
    tiny_config: Callable[..., RunConfig], attention: dict[str, Any], expected: dict[str, int]
) -> None:
    config = tiny_config(model__attention=attention)
    heads = {
        p.name: p.heads for p in named_parameters(build_model(config.model)) if p.name.startswith("blocks.0.attention")
    }
    assert {name: heads[f"blocks.0.attention.{name}.weight"] for name in expected} == expected
