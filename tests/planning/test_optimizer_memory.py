"""Memory of optimizers: what they state is true, and what they do not state is unknown."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from math import prod
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from nanochat_framework.config.component import ComponentConfig
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.config.selection import Selected
from nanochat_framework.contracts.optimizer import NamedParameter
from nanochat_framework.errors import UsageError
from nanochat_framework.planning.inventory import take_inventory
from nanochat_framework.planning.memory import largest_batch_size, plan_memory
from nanochat_framework.planning.optimizer_memory import optimizer_groups
from nanochat_framework.plugins import Registry
from tests.planning.live_memory import LiveMemory

OPTIMIZERS = ("adamw", "lion", "muon")


class SilentConfig(ComponentConfig):
    """A stranger's optimizer that says nothing of its memory."""


class TalkingConfig(ComponentConfig):
    """A stranger's optimizer with one byte of state for each parameter and a workspace of one matrix."""

    state_bytes_per_parameter: ClassVar[int] = 1

    def workspace_bytes(self, shapes: Sequence[tuple[int, ...]]) -> int:
        """The largest."""
        return max(prod(shape) for shape in shapes)


def _with_optimizer(config: RunConfig, settings: ComponentConfig) -> RunConfig:
    rules = []
    for rule in config.optimizer:
        changed = copy.copy(rule)
        rules.append(changed.model_copy(update={"component": Selected(rule.component.component, settings)}))
    return config.model_copy(update={"optimizer": tuple(rules)})


def test_groups_take_what_their_rules_match(tiny_config: Callable[..., RunConfig]) -> None:
    config = _with_optimizer(tiny_config(), TalkingConfig())
    inventory = take_inventory(config)
    matrices, rest = optimizer_groups(config, inventory)
    assert matrices.parameters == sum(t.spec.size for t in inventory if t.spec.role == "matrix")
    assert matrices.parameters + rest.parameters == sum(t.spec.size for t in inventory)
    assert (matrices.state, matrices.workspace) == (matrices.parameters, 64 * 96)


class ImportingConfig(TalkingConfig):
    """A stranger's optimizer that stands on a package of its own."""

    library_bytes: ClassVar[int] = 5_000_000


@pytest.mark.parametrize(("device", "expected"), [("cpu", 10_000_000), ("cuda", 0)])
def test_what_an_optimizer_imports_is_in_the_process(
    tiny_config: Callable[..., RunConfig], device: str, expected: int
) -> None:
    plans = [
        plan_memory(_with_optimizer(tiny_config(hardware__device=device), settings))
        for settings in (TalkingConfig(), ImportingConfig())
    ]
    lean, importing = (plan.row(1) for plan in plans)
    assert importing.libraries - lean.libraries == expected
    assert importing.total - lean.total == expected


def test_a_silent_optimizer_makes_the_plan_a_lower_bound(tiny_config: Callable[..., RunConfig]) -> None:
    silent = _with_optimizer(tiny_config(), SilentConfig())
    plan = plan_memory(silent)
    assert plan.state is None
    assert not plan.row(1).complete
    assert plan.row(1).items()["optimizer"] == 0
    assert largest_batch_size(silent, 10**12) is None
    talking = _with_optimizer(tiny_config(), TalkingConfig())
    assert plan_memory(talking).row(1).complete
    assert largest_batch_size(talking, 10**12) is not None


def test_a_parameter_that_no_table_takes_is_one_line(tiny_config: Callable[..., RunConfig]) -> None:
    config = tiny_config(optimizer=[{"match": "matrix", "name": "muon"}])
    with pytest.raises(UsageError, match=r"no \[\[optimizer\]\] table takes embedding.weight, role 'embedding'"):
        plan_memory(config)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("shapes", [[(96, 64)] * 3, [(64, 64)] * 2 + [(32, 64)]], ids=["alike", "mixed"])
def test_what_is_stated_is_what_is_used(registry: Registry, name: str, shapes: list[tuple[int, int]]) -> None:
    component = registry.get("optimizer", name)
    settings: Any = component.config_class()()
    parameters = []
    memory = LiveMemory()
    with memory:
        for number, shape in enumerate(shapes):
            parameter = nn.Parameter(torch.randn(shape))
            parameter.grad = torch.randn(shape)
            parameters.append(NamedParameter(f"p{number}", "matrix", parameter))
        before = memory.now
        optimizer = component.load_factory()(settings, parameters=parameters)
        state = memory.now - before
        optimizer.step({"lr": 0.01, "momentum": 0.9, "weight_decay": 0.1})
        memory.peak = memory.now
        optimizer.step({"lr": 0.01, "momentum": 0.9, "weight_decay": 0.1})
        workspace = memory.peak - memory.now
    elements = sum(map(prod, shapes))
    assert state == pytest.approx(settings.state_bytes_per_parameter * elements, rel=0.01)
    assert workspace <= settings.workspace_bytes(shapes)
