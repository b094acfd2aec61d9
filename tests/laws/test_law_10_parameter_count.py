"""Law 10: a printed parameter count is the sum of the tensors; a description is the model that is built from it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from nanochat_framework.config.load import load_config
from nanochat_framework.config.presets import preset_names
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.model.parameters import named_parameters
from nanochat_framework.planning.inventory import take_inventory
from nanochat_framework.planning.parameters import count_parameters
from nanochat_framework.plugins import Registry
from tests.laws.combinations import COMBINATIONS, changes

Tensors = list[tuple[str, tuple[int, ...], str]]


def _built(config: RunConfig) -> Tensors:
    with torch.device("meta"):
        model = config.model.build()
    return sorted((p.name, tuple(p.tensor.shape), p.role) for p in named_parameters(model))


def _described(config: RunConfig) -> Tensors:
    return sorted((spec.name, spec.shape, spec.role) for spec in config.model.config.describe().tensors())


@pytest.mark.parametrize("name", preset_names())
def test_a_presets_description_is_its_model(name: str, registry: Registry) -> None:
    config = load_config(name, registry=registry).config
    assert _described(config) == _built(config)


@pytest.mark.parametrize("combination", [name for name in COMBINATIONS if "probe" not in str(COMBINATIONS[name])])
def test_a_combinations_description_is_its_model(tiny_config: Callable[..., RunConfig], combination: str) -> None:
    config = tiny_config(**changes(combination))
    assert _described(config) == _built(config)


@pytest.mark.parametrize("combination", COMBINATIONS)
def test_the_count_is_what_training_holds(tiny_config: Callable[..., RunConfig], combination: str) -> None:
    from nanochat_framework.training.train_module import TrainModule

    config = tiny_config(**changes(combination), objective=[{"name": "probe/two_ahead"}])
    module = TrainModule(config, torch.device("cpu"))
    count = count_parameters(take_inventory(config))
    own = sum(p.numel() for p in module.model.parameters())
    assert count.total == own
    assert count.total + sum(count.objectives.values()) == sum(p.tensor.numel() for p in module.parameters)
