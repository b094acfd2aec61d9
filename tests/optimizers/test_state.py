"""State of every first-party optimizer: by name, through a file, bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from nanochat_framework.contracts.optimizer import OptimizerState
from tests.optimizers.support import REGISTRY, build, named, random_tensors, train, values

NAMES = REGISTRY.names("optimizer")
SHAPES = {"blocks.0.up.weight": (24, 8), "blocks.1.up.weight": (24, 8), "blocks.0.down.weight": (8, 24)}


def through_a_file(state: OptimizerState, path: Path) -> OptimizerState:
    save_file({f"{name}/{slot}": t for name, slots in state.items() for slot, t in slots.items()}, path)
    loaded: dict[str, dict[str, Tensor]] = {}
    for key, tensor in load_file(path).items():
        name, _, slot = key.rpartition("/")
        loaded.setdefault(name, {})[slot] = tensor
    return loaded


def test_the_names_are_those_we_ship() -> None:
    assert NAMES == ["adamw", "adamw_8bit", "galore", "lion", "lion_8bit", "muon", "muon_8bit"]


@pytest.mark.parametrize("name", NAMES)
def test_resuming_is_bit_for_bit(name: str, tmp_path: Path) -> None:
    start = random_tensors(SHAPES, seed=0)
    straight = named(start)
    train(*build(name, straight), range(1, 9), lr_falls=True)

    before = named(start)
    optimizer, hyperparameters = build(name, before)
    train(optimizer, hyperparameters, range(1, 5), lr_falls=True)
    state = through_a_file(optimizer.state(), tmp_path / "state.safetensors")

    after = named(values(before))
    optimizer, hyperparameters = build(name, after)
    optimizer.load_state(state)
    train(optimizer, hyperparameters, range(5, 9), lr_falls=True)
    torch.testing.assert_close(values(after), values(straight), rtol=0, atol=0)

    fresh = named(values(before))
    train(*build(name, fresh), range(5, 9), lr_falls=True)
    assert not torch.equal(values(fresh)["blocks.0.up.weight"], values(straight)["blocks.0.up.weight"])


@pytest.mark.parametrize("name", NAMES)
def test_every_slot_is_there_from_the_start(name: str) -> None:
    optimizer, hyperparameters = build(name, named(random_tensors(SHAPES, seed=0)))
    before = {name: set(slots) for name, slots in optimizer.state().items()}
    assert set(before) == set(SHAPES)
    train(optimizer, hyperparameters, range(1, 2))
    assert {name: set(slots) for name, slots in optimizer.state().items()} == before


@pytest.mark.parametrize("name", NAMES)
def test_state_survives_regrouping(name: str) -> None:
    """Two optimizers may become one: state belongs to parameters."""
    start = random_tensors(SHAPES, seed=0)
    first, second = named(start)[:1], named(start)[1:]
    state: OptimizerState = {}
    for parameters in (first, second):
        optimizer, hyperparameters = build(name, parameters)
        train(optimizer, hyperparameters, range(1, 4))
        state.update(optimizer.state())
    one = named(values([*first, *second]))
    optimizer, hyperparameters = build(name, one)
    optimizer.load_state(state)
    for parameter, slots in optimizer.state().items():
        for slot, tensor in slots.items():
            assert torch.equal(tensor, state[parameter][slot])


@pytest.mark.parametrize("name", NAMES)
def test_a_parameter_that_the_state_lacks_starts_fresh(name: str) -> None:
    optimizer, hyperparameters = build(name, named(random_tensors(SHAPES, seed=0)))
    train(optimizer, hyperparameters, range(1, 3))
    kept, lost = "blocks.0.up.weight", "blocks.0.down.weight"
    state = {kept: {slot: t.clone() for slot, t in optimizer.state()[kept].items()}}
    optimizer.load_state(state)
    assert all(torch.equal(optimizer.state()[kept][slot], t) for slot, t in state[kept].items())
    assert not any(tensor.any() for tensor in optimizer.state()[lost].values())


@pytest.mark.parametrize("name", NAMES)
def test_a_state_that_does_not_fit_is_refused(name: str) -> None:
    optimizer, _ = build(name, named(random_tensors(SHAPES, seed=0)))
    good = {slot: t.clone() for slot, t in optimizer.state()["blocks.0.up.weight"].items()}
    slot = next(iter(good))
    with pytest.raises(ValueError, match=rf"blocks\.0\.up\.weight/{slot}: the state is \(5,\)"):
        optimizer.load_state({"blocks.0.up.weight": {**good, slot: torch.zeros(5)}})
    with pytest.raises(ValueError, match=r"the state has .*variance.*, this optimizer keeps"):
        optimizer.load_state({"blocks.0.up.weight": {**good, "variance": torch.zeros(24, 8)}})
