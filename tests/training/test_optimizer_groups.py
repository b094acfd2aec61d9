"""Which parameter goes to which optimizer, with which hyperparameters, and where their state is kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.contracts.optimizer import NamedParameter
from nanochat_framework.errors import UsageError
from nanochat_framework.training.optimizer_groups import OptimizerGroups

Make = Callable[..., RunConfig]
MUON = {"match": "matrix", "name": "muon", "lr": 0.02}
LION = {"match": "*", "name": "lion", "lr": 0.001}
STEPS = 10


def parameters() -> list[NamedParameter]:
    """Four parameters of three roles, with gradients; the same each time."""
    generator = torch.Generator().manual_seed(0)
    shapes = {
        ("embedding.weight", "embedding"): (12, 4),
        ("blocks.0.up.weight", "matrix"): (8, 4),
        ("blocks.1.up.weight", "matrix"): (8, 4),
        ("final_norm.weight", "norm"): (4,),
    }
    made = []
    for (name, role), shape in shapes.items():
        tensor = nn.Parameter(torch.randn(shape, generator=generator))
        tensor.grad = torch.randn(shape, generator=generator)
        made.append(NamedParameter(name, role, tensor))
    return made


def build(make: Make, rules: list[dict[str, Any]], schedule: Any = "constant") -> OptimizerGroups:
    config = make(optimizer=rules, schedule=schedule)
    return OptimizerGroups(parameters(), config.optimizer, config.schedule, STEPS)


def members(groups: OptimizerGroups) -> dict[str, list[str]]:
    return {group.name: [p.name for p in group.optimizer.parameters] for group in groups.groups}


def test_the_first_table_that_matches_takes_the_parameter(tiny_config: Make) -> None:
    by_name = {"match": "blocks.1.*", "name": "adamw"}
    assert members(build(tiny_config, [by_name, MUON, LION])) == {
        "adamw": ["blocks.1.up.weight"],
        "muon": ["blocks.0.up.weight"],
        "lion": ["embedding.weight", "final_norm.weight"],
    }
    assert "adamw" not in members(build(tiny_config, [MUON, by_name, LION]))


def test_roles_decide_not_shapes(tiny_config: Make) -> None:
    groups = build(tiny_config, [{"match": "embedding", "name": "muon"}, LION])
    assert members(groups)["muon"] == ["embedding.weight"]


def test_group_names_are_unique(tiny_config: Make) -> None:
    rules = [{**LION, "match": "embedding"}, {**LION, "match": "nothing"}, {**LION, "match": "norm"}, MUON]
    assert list(members(build(tiny_config, rules))) == ["lion", "lion_3", "muon"]


def test_a_parameter_that_nothing_takes_is_named_with_its_role_and_the_tables(tiny_config: Make) -> None:
    with pytest.raises(UsageError) as caught:
        build(tiny_config, [MUON, {**LION, "match": "norm"}])
    assert str(caught.value) == (
        "no [[optimizer]] table takes embedding.weight, role 'embedding'; the tables match 'matrix', 'norm'; "
        "add one with match = 'embedding' or match = '*'"
    )
    with pytest.raises(UsageError, match=r"takes embedding\.weight, role 'embedding' \(and 1 more\);"):
        build(tiny_config, [MUON])


def test_what_the_optimizer_refuses_is_one_line(tiny_config: Make) -> None:
    with pytest.raises(UsageError, match=r"muon cannot update final_norm\.weight \(role 'norm'"):
        build(tiny_config, [{"match": "*", "name": "muon"}])


def test_each_group_may_have_its_own_schedules(tiny_config: Make) -> None:
    linear = {"name": "linear", "min_lr_ratio": 0.5}
    rules = [
        {**MUON, "schedule": linear, "schedules": {"momentum": {"name": "constant", "warmup_steps": 4}}},
        {**LION, "weight_decay": 0.5, "schedules": {"weight_decay": linear}},
    ]
    groups = build(tiny_config, rules, schedule={"name": "constant", "warmup_steps": 2})
    muon, lion = (group.hyperparameters(5) for group in groups.groups)
    assert muon == pytest.approx({"lr": 0.02 * 0.75, "momentum": 0.95, "weight_decay": 0.0})
    assert lion == pytest.approx({"lr": 0.001, "weight_decay": 0.5 * 0.75})
    muon, lion = (group.hyperparameters(1) for group in groups.groups)
    assert muon == pytest.approx({"lr": 0.02 * 0.95, "momentum": 0.95 / 4, "weight_decay": 0.0})
    assert lion == pytest.approx({"lr": 0.0005, "weight_decay": 0.5 * 0.95})
    assert groups.learning_rates(1) == pytest.approx({"muon": 0.019, "lion": 0.0005})


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (
            {"schedules": {"momentm": "constant"}},
            "optimizer.0.schedules.momentm: muon has no hyperparameter 'momentm' that follows a schedule; it has lr, "
            "momentum, weight_decay",
        ),
        ({"schedules": {"lr": "constant"}}, "optimizer.0.schedules.lr: write it as schedule = { ... } in this table"),
    ],
)
def test_a_schedule_of_nothing_is_an_error(tiny_config: Make, rule: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        build(tiny_config, [{**MUON, **rule}, LION])
    assert str(caught.value) == message


def test_a_step_updates_every_group(tiny_config: Make) -> None:
    groups = build(tiny_config, [MUON, LION])
    before = {p.name: p.tensor.detach().clone() for p in groups.parameters}
    groups.step(1)
    moved = {p.name: float((p.tensor.detach() - before[p.name]).abs().max()) for p in groups.parameters}
    assert all(moved.values())
    assert moved["embedding.weight"] == pytest.approx(0.001, rel=1e-3)
    groups.zero_grad()
    assert all(p.tensor.grad is None for p in groups.parameters)


def test_state_goes_through_a_file_and_survives_other_tables(tiny_config: Make, tmp_path: Path) -> None:
    """Resumed bit for bit, also when one table has become two: state is kept by parameter."""
    straight = build(tiny_config, [MUON, LION])
    for step in range(1, 7):
        straight.step(step)

    first = build(tiny_config, [MUON, LION])
    for step in range(1, 4):
        first.step(step)
    assert set(first.state_tensors()) == {
        "blocks.0.up.weight/momentum_buffer",
        "blocks.1.up.weight/momentum_buffer",
        "embedding.weight/exp_avg",
        "final_norm.weight/exp_avg",
    }
    save_file(first.state_tensors(), tmp_path / "state.safetensors")

    second = build(tiny_config, [MUON, {**LION, "match": "norm"}, LION])
    for new, old in zip(second.parameters, first.parameters, strict=True):
        new.tensor.data.copy_(old.tensor)
    second.load_state_tensors(load_file(tmp_path / "state.safetensors"))
    for step in range(4, 7):
        second.step(step)
    for ours, expected in zip(second.parameters, straight.parameters, strict=True):
        assert torch.equal(ours.tensor, expected.tensor), ours.name


def test_no_state_at_all_starts_fresh(tiny_config: Make) -> None:
    groups = build(tiny_config, [MUON, LION])
    groups.step(1)
    groups.load_state_tensors({})
    assert not any(tensor.any() for tensor in groups.state_tensors().values())


def test_state_that_does_not_fit_is_one_line(tiny_config: Make) -> None:
    groups = build(tiny_config, [MUON, LION])
    groups.step(1)
    good = {name: tensor.clone() for name, tensor in groups.state_tensors().items()}
    key = "final_norm.weight/exp_avg"
    others = {name: tensor for name, tensor in good.items() if name != key}
    for tensors, message in (
        ({**good, "blocks.9.up.weight/exp_avg": good[key]}, "the model has no parameter 'blocks.9.up.weight'"),
        (others, f"optimizer state: {key} is missing"),
        ({**good, key: torch.zeros(5)}, f"group lion: {key}: the state is (5,), the parameter needs (4,)"),
        (
            {**good, "final_norm.weight/step": torch.zeros(())},
            "the state has exp_avg, step, this optimizer keeps exp_avg",
        ),
    ):
        with pytest.raises(UsageError) as caught:
            groups.load_state_tensors(tensors)
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)


def test_state_of_another_optimizer_is_refused(tiny_config: Make) -> None:
    lion, adamw = (build(tiny_config, [MUON, {"match": "*", "name": name}]) for name in ("lion", "adamw"))
    with pytest.raises(UsageError, match=r"the state has exp_avg, exp_avg_sq, step, this optimizer keeps exp_avg$"):
        lion.load_state_tensors(adamw.state_tensors())
    with pytest.raises(UsageError, match=r"embedding\.weight/exp_avg_sq is missing, and 3 more"):
        adamw.load_state_tensors(lion.state_tensors())
