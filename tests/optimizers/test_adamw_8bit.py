"""8-bit AdamW against torchao's own class and against AdamW in full; its slots; what it says without torchao."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from itertools import accumulate
from typing import Any

import pytest
import torch
from torch import Tensor

from nanochat_framework.contracts.optimizer import Optimizer
from nanochat_framework.errors import UsageError
from tests.compiling import needs_compiler
from tests.optimizers.support import REGISTRY, build, named, random_tensors, train, values

optim = pytest.importorskip("torchao.optim", reason="torchao is not installed (the extra `torchao`)")

SHAPES = {"matrix": (64, 96), "stack": (3, 32, 64), "odd": (100, 43), "vector": (33,)}
IN_8_BITS = {"matrix", "stack"}


def theirs(start: dict[str, Tensor], n_steps: int) -> dict[str, Tensor]:
    """torchao's class by itself; lr falls as 1 / step."""
    weights = {name: torch.nn.Parameter(weight.clone()) for name, weight in start.items()}
    optimizer: Any = optim.AdamW8bit(list(weights.values()), betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
    for step in range(1, n_steps + 1):
        for name, gradient in random_tensors(SHAPES, seed=1000 + step).items():
            weights[name].grad = gradient
        optimizer.param_groups[0]["lr"].fill_(0.01 / step)
        with torch.compiler.set_stance("force_eager"):
            optimizer.step()
    return {name: weight.detach() for name, weight in weights.items()}


def test_the_same_as_torchao() -> None:
    start = random_tensors(SHAPES, seed=0)
    parameters = named(start)
    train(*build("adamw_8bit", parameters, lr=0.01, weight_decay=0.1), range(1, 9), lr_falls=True)
    torch.testing.assert_close(values(parameters), theirs(start, 8), rtol=0, atol=1e-6)


def test_near_adamw_and_the_same_where_nothing_is_rounded() -> None:
    start = random_tensors(SHAPES, seed=0)
    moved = {}
    for name in ("adamw", "adamw_8bit"):
        parameters = named(start)
        train(*build(name, parameters, lr=0.01, weight_decay=0.1), range(1, 9))
        moved[name] = {n: weight - start[n] for n, weight in values(parameters).items()}
    for name, expected in moved["adamw"].items():
        error = (moved["adamw_8bit"][name] - expected).norm() / expected.norm()
        assert (0.001 < error < 0.1) if name in IN_8_BITS else error < 1e-5


def test_the_slots_are_the_live_codes_and_scales() -> None:
    parameters = named(random_tensors(SHAPES, seed=0))
    optimizer, hyperparameters = build("adamw_8bit", parameters)
    slots = optimizer.state()
    assert all(slots["matrix"][f"{name}_codes"].dtype == torch.uint8 for name in ("exp_avg", "exp_avg_sq"))
    assert slots["matrix"]["exp_avg_scales"].shape == (64 * 96 // 256,)
    assert {name for name, tensors in slots.items() if "exp_avg_codes" in tensors} == IN_8_BITS
    train(optimizer, hyperparameters, range(1, 3))
    assert all(tensors["step"] == 2 for tensors in slots.values())
    assert slots["matrix"]["exp_avg_scales"].min() > 0


def most_allocated(optimizer: Optimizer, hyperparameters: Mapping[str, float]) -> int:
    """Bytes that a step holds at most beside what is there before it, as torch's profiler counts them."""
    with torch.profiler.profile(profile_memory=True) as profile:
        optimizer.step(hyperparameters)
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    sizes = [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
    return max(accumulate(sizes))


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=[pytest.mark.slow, needs_compiler])])
def test_what_the_memory_plan_is_told(compiled: bool) -> None:
    parameters = named(random_tensors({**SHAPES, "largest": (256, 256)}, seed=0))
    optimizer, hyperparameters = build("adamw_8bit", parameters, compile=compiled)
    train(optimizer, hyperparameters, range(1, 2))
    shapes = [tuple(p.tensor.shape) for p in parameters]
    config: Any = REGISTRY.get("optimizer", "adamw_8bit").config_class()(compile=compiled)
    tables = 2 * 4 * 256 * 3  # constants, not among the slots
    state = sum(tensor.nbytes for slots in optimizer.state().values() for tensor in slots.values())
    assert config.state_bytes(shapes) == state + tables
    assert most_allocated(optimizer, hyperparameters) == pytest.approx(config.workspace_bytes(shapes), rel=0.02)


def test_resuming_is_bit_for_bit_in_8_bits_too() -> None:
    start = random_tensors(SHAPES, seed=0)
    straight, halves = named(start), named(start)
    train(*build("adamw_8bit", straight), range(1, 7))
    first, hyperparameters = build("adamw_8bit", halves)
    train(first, hyperparameters, range(1, 4))
    second, _ = build("adamw_8bit", halves)
    second.load_state({name: {s: t.clone() for s, t in slots.items()} for name, slots in first.state().items()})
    train(second, hyperparameters, range(4, 7))
    torch.testing.assert_close(values(halves), values(straight), rtol=0, atol=0)


def test_without_torchao_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchao", None)
    component = REGISTRY.get("optimizer", "adamw_8bit")
    with pytest.raises(UsageError, match=r"pip install 'nanochat-framework\[torchao\]'") as caught:
        component.load_factory()(component.config_class()(), parameters=named({"w": torch.zeros(4, 4)}))
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@needs_compiler
def test_compiled_is_the_same_within_a_code() -> None:
    """Compiled code rounds differently in the last bit, so a value on the edge between two codes may take the other."""
    start = random_tensors({"matrix": (64, 96)}, seed=0)
    found = []
    for compiled in (False, True):
        parameters = named(start)
        train(*build("adamw_8bit", parameters, lr=0.01, compile=compiled), range(1, 6), lr_falls=True)
        found.append(values(parameters)["matrix"])
    assert (found[0] - found[1]).norm() < 0.01 * (found[0] - start["matrix"]).norm()
    assert not torch.equal(found[0], start["matrix"])
