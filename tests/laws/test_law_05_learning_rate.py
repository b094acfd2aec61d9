"""Law 5: the learning rate used at step k is the schedule's at k: at the first step, after a resume, past the end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import torch
from torch import nn

from nanochat_framework.config.load import load_config
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.contracts.optimizer import NamedParameter
from nanochat_framework.plugins import Registrar, Registry, load_plugins
from nanochat_framework.runs.metrics import read_metrics
from nanochat_framework.training.launch import go_on, start
from nanochat_framework.training.optimizer_groups import OptimizerGroups
from tests.conftest import tiny_dict

STEPS = 10
SCHEDULES: dict[str, dict[str, Any]] = {
    "wsd": {"name": "wsd", "warmup_steps": 3, "stable_fraction": 0.5, "min_lr_ratio": 0.1},
    "cosine": {"name": "cosine", "warmup_steps": 2, "min_lr_ratio": 0.2},
    "linear": {"name": "linear", "min_lr_ratio": 0.3},
}
SETTINGS: dict[str, dict[str, Any]] = {
    "adamw": {"lr": 0.01},
    "lion": {"lr": 0.01},
    "muon": {"lr": 0.01, "orthogonalize_in": "fp32"},
}


def groups_of(make: Callable[..., RunConfig], optimizer: str, schedule: dict[str, Any]) -> OptimizerGroups:
    """One matrix in one group, at zero."""
    config = make(optimizer=[{"match": "*", "name": optimizer, **SETTINGS[optimizer]}], schedule=schedule)
    weight = NamedParameter("weight", "matrix", nn.Parameter(torch.zeros(8, 4)))
    return OptimizerGroups([weight], config.optimizer, config.schedule, STEPS)


def movement(groups: OptimizerGroups, step: int, gradient: torch.Tensor) -> float:
    """How far an update moves the matrix (Frobenius norm); the gradient is the same at each step.

    For a constant gradient the direction and size of each of the three updates depend on the learning rate alone.
    """
    weight = groups.parameters[0].tensor
    weight.data.zero_()
    weight.grad = gradient.clone()
    groups.step(step)
    return float(weight.detach().norm())


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("optimizer", SETTINGS)
def test_real_updates_are_as_large_as_the_schedule_says(
    tiny_config: Callable[..., RunConfig], optimizer: str, schedule: str
) -> None:
    gradient = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
    unscheduled = movement(groups_of(tiny_config, optimizer, {"name": "constant"}), 1, gradient)
    expected = tiny_config(schedule=SCHEDULES[schedule]).schedule.build(total_steps=STEPS)
    groups = groups_of(tiny_config, optimizer, SCHEDULES[schedule])
    for step in range(1, STEPS + 5):
        if step == 5:  # a resume: everything new but the state
            state = {name: tensor.clone() for name, tensor in groups.state_tensors().items()}
            groups = groups_of(tiny_config, optimizer, SCHEDULES[schedule])
            groups.load_state_tensors(state)
        found = movement(groups, step, gradient)
        assert found == pytest.approx(expected.multiplier(step) * unscheduled, rel=1e-4), f"step {step}"
        lr = SETTINGS[optimizer]["lr"] * expected.multiplier(step)
        assert groups.learning_rates(step) == {optimizer: pytest.approx(lr)}
    assert found == pytest.approx(SCHEDULES[schedule]["min_lr_ratio"] * unscheduled, rel=1e-4)


@pytest.fixture
def recorder_registry() -> Registry:
    """First-party components and the recorder, registered as a stranger's would be."""
    registrar = Registrar("recorder", "tests.laws", "tests", "0")
    registrar.optimizer(
        "test/recorder", config=".recorder:RecorderConfig", factory=".recorder:build_recorder", summary="writes down"
    )
    first_party = load_plugins(environ={"NANOCHAT_LOAD_PLUGINS": ""}).registry
    registry = Registry()
    registry.commit([*first_party.components(), *registrar.components])
    registry.freeze()
    return registry


def test_a_training_and_its_resume_hand_out_the_schedules_values(tmp_path: Path, recorder_registry: Registry) -> None:
    """The whole trainer: what arrives at an optimizer, and what the metrics say."""
    default, other = SCHEDULES["wsd"], SCHEDULES["linear"]
    probe = {"name": "test/recorder", "path": str(tmp_path / "record.jsonl"), "schedules": {"momentum": other}}
    rules = [{"match": "embedding", **probe}, {"match": "*", "name": "adamw", "schedule": other}]
    changes = {"optimizer": rules, "schedule": default, "train__steps": STEPS, "checkpoint": {"every": 4}}
    (tmp_path / "config.toml").write_text(tomli_w.dumps(tiny_dict(**changes)))
    host = load_plugins(environ={"NANOCHAT_LOAD_PLUGINS": ""})
    host.registry = recorder_registry
    loaded = load_config(tmp_path / "config.toml", registry=recorder_registry)

    start(loaded, host, runs_dir=tmp_path, name="run", epochs=None, quiet=True)
    go_on("run", host, runs_dir=tmp_path, checkpoint="step_00000004", quiet=True)

    lines = [json.loads(line) for line in (tmp_path / "record.jsonl").read_text().splitlines()]
    steps = [*range(1, STEPS + 1), *range(5, STEPS + 1)]
    lr = loaded.config.schedule.build(total_steps=STEPS)
    momentum = loaded.config.optimizer[0].schedules["momentum"].build(total_steps=STEPS)
    assert lines == [{"lr": 0.5 * lr.multiplier(step), "momentum": 0.8 * momentum.multiplier(step)} for step in steps]
    assert lines[0]["lr"] == pytest.approx(0.5 / 3), "the first update is one step up the warm-up, not at its peak"

    logged = {line["step"]: line for line in read_metrics(tmp_path / "run" / "metrics.jsonl") if "train/loss" in line}
    assert sorted(logged) == list(range(1, STEPS + 1))
    for step, line in logged.items():
        assert line["train/learning_rate/test/recorder"] == 0.5 * lr.multiplier(step)
        assert line["train/learning_rate/adamw"] == pytest.approx(3e-4 * momentum.multiplier(step))
