"""The schedules: golden values, and what holds for every setting."""

from __future__ import annotations

import math
import subprocess
import sys
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import lr_scheduler

from nanochat_framework.contracts.schedule import Schedule
from nanochat_framework.plugins import load_plugins
from nanochat_schedules.warmup import root

NAMES = ("wsd", "cosine", "linear", "constant")
REGISTRY = load_plugins(environ={"NANOCHAT_LOAD_PLUGINS": ""}).registry


def build(name: str, total_steps: int, **settings: Any) -> Schedule:
    component = REGISTRY.get("schedule", name)
    schedule: Schedule = component.load_factory()(component.config_class()(**settings), total_steps=total_steps)
    return schedule


WSD_GOLDEN = {
    0: 0.0,
    50: 0.5,
    99: 0.99,
    **dict.fromkeys((100, 101, 500, 799, 800), 1.0),
    900: 0.55,
    950: 0.231802,
    **dict.fromkeys((1000, 1001, 5000), 0.1),
}


@pytest.mark.parametrize(("step", "expected"), WSD_GOLDEN.items())
def test_wsd_golden_values(step: int, expected: float) -> None:
    schedule = build("wsd", 1000, warmup_steps=100, stable_fraction=0.8, min_lr_ratio=0.1)
    assert schedule.multiplier(step) == pytest.approx(expected, abs=5e-7)


@pytest.mark.parametrize(
    ("name", "settings", "golden"),
    [
        ("cosine", {"warmup_steps": 10, "min_lr_ratio": 0.1}, {5: 0.5, 10: 1.0, 60: 0.55, 110: 0.1, 400: 0.1}),
        ("linear", {"warmup_steps": 10, "min_lr_ratio": 0.2}, {5: 0.5, 10: 1.0, 60: 0.6, 110: 0.2, 400: 0.2}),
        ("linear", {}, {0: 1.0, 55: 0.5, 110: 0.0, 111: 0.0}),
        (
            "wsd",
            {"stable_fraction": 0.5, "min_lr_ratio": 0.2, "decay": "sqrt"},
            {55: 1.0, 68.75: 0.6, 110: 0.2, 400: 0.2},
        ),
        ("constant", {"warmup_steps": 10}, {0: 0.0, 5: 0.5, 10: 1.0, 110: 1.0, 400: 1.0}),
        ("constant", {"warmup_steps": 10, "warmup_start": 0.9}, {0: 0.9, 5: 0.95, 10: 1.0}),
        ("constant", {}, {0: 1.0, 1: 1.0}),
    ],
)
def test_golden_values(name: str, settings: dict[str, Any], golden: dict[int, float]) -> None:
    schedule = build(name, 110, **settings)
    assert {step: schedule.multiplier(step) for step in golden} == pytest.approx(golden, abs=1e-12)


TORCH: dict[str, Any] = {
    "linear": lambda o: lr_scheduler.LinearLR(o, 1.0, 0.2, total_iters=60),
    "cosine": lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=60, eta_min=0.2),
}


@pytest.mark.parametrize("decay", TORCH)
def test_wsd_is_what_torch_makes_of_the_same_stretches(decay: str) -> None:
    """A momentum that rises from 0.85 to 0.97, stays and falls, as multipliers; torch's own schedulers in a row."""
    start = 0.85 / 0.97
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    stretches = [
        lr_scheduler.LinearLR(optimizer, start, 1.0, total_iters=20),
        lr_scheduler.ConstantLR(optimizer, 1.0),
        TORCH[decay](optimizer),
    ]
    torchs: Any = lr_scheduler.SequentialLR(optimizer, stretches, milestones=[20, 40])
    ours = build("wsd", 100, warmup_steps=20, warmup_start=start, stable_fraction=0.4, min_lr_ratio=0.2, decay=decay)
    for step in range(101):
        assert ours.multiplier(step) == pytest.approx(torchs.get_last_lr()[0], abs=1e-6), step
        optimizer.step()
        torchs.step()


def test_wsd_counts_the_warm_up_among_the_stable_steps() -> None:
    schedule = build("wsd", 100, warmup_steps=30, stable_fraction=0.5)
    assert schedule.multiplier(50) == 1.0
    assert schedule.multiplier(51) < 1.0


def test_wsd_decay_never_starts_inside_the_warm_up() -> None:
    schedule = build("wsd", 100, warmup_steps=60, stable_fraction=0.5, min_lr_ratio=0.1)
    assert [schedule.multiplier(step) for step in (59, 60)] == [pytest.approx(59 / 60), 1.0]
    assert schedule.multiplier(61) > 0.99
    assert schedule.multiplier(80) == pytest.approx(0.55)


def test_wsd_decay_start_is_the_step_that_was_written() -> None:
    assert 0.29 * 100 < 29, "the case is only a case while floating point rounds this down"
    schedule = build("wsd", 100, stable_fraction=0.29)
    assert schedule.multiplier(29) == 1.0
    assert schedule.multiplier(30) < 1.0


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    name = draw(st.sampled_from(NAMES))
    settings: dict[str, Any] = {"warmup_steps": draw(st.integers(0, 300)), "warmup_start": draw(st.floats(0, 1))}
    if name != "constant":
        settings["min_lr_ratio"] = draw(st.floats(0, 1))
    if name == "wsd":
        settings["stable_fraction"] = draw(st.floats(0, 1))
        settings["decay"] = draw(st.sampled_from(("cosine", "linear", "sqrt")))
    return build(name, draw(st.integers(1, 300)), **settings)


@given(schedules())
def test_multipliers_are_finite_and_between_zero_and_one(schedule: Schedule) -> None:
    for step in range(schedule.total_steps + 5):
        multiplier = schedule.multiplier(step)
        assert math.isfinite(multiplier)
        assert 0.0 <= multiplier <= 1.0


@given(schedules(), st.integers(1, 10**9))
def test_past_the_end_it_stays_at_its_last_value(schedule: Schedule, beyond: int) -> None:
    assert schedule.multiplier(schedule.total_steps + beyond) == schedule.multiplier(schedule.total_steps)


@given(schedules())
def test_no_jump_is_larger_than_the_stretches_allow(schedule: Schedule) -> None:
    """Up by at most one step of the warm-up; down by at most the steepest slope of the decay, a root's first step."""
    values = [schedule.multiplier(step) for step in range(schedule.total_steps + 3)]
    warmup: int = schedule.warmup_steps  # type: ignore[attr-defined]
    decay = schedule.total_steps - getattr(schedule, "decay_start", warmup)
    steepest = max(decay, 1) ** -0.5 if getattr(schedule, "decay", None) is root else 0.0
    for before, after in pairwise(values):
        assert after - before <= 1 / max(warmup, 1) + 1e-12
        assert before - after <= max(math.pi / 2 / max(decay, 1), steepest) + 1e-12


@given(schedules())
def test_it_rises_to_the_end_of_the_warm_up_and_never_again(schedule: Schedule) -> None:
    peak = min(schedule.warmup_steps, schedule.total_steps)  # type: ignore[attr-defined]
    values = [schedule.multiplier(step) for step in range(schedule.total_steps + 3)]
    assert values[: peak + 1] == sorted(values[: peak + 1])
    assert values[peak:] == sorted(values[peak:], reverse=True)


@pytest.mark.parametrize("name", NAMES)
def test_schedules_need_no_torch(name: str) -> None:
    component = REGISTRY.get("schedule", name)
    modules = [reference.partition(":")[0] for reference in (component.config, component.factory)]
    code = f"import sys, {', '.join(modules)}; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
