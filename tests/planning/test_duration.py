"""Time and cost of a run at a given speed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.planning.duration import Speed, duration, evaluated_tokens
from nanochat_framework.planning.plan import DeviceSpeed, make_plan

Tiny = Callable[..., RunConfig]


def test_tokens_over_speed(tiny_config: Tiny) -> None:
    found = duration(tiny_config(train__steps=100), Speed(10.0, "as stated"), price_per_hour=36.0)
    assert found.training_seconds == 100 * 4 * 16 / 10
    assert found.evaluation_seconds == 0
    assert found.cost == pytest.approx(found.seconds / 100)


def test_evaluations_cost_a_third(tiny_config: Tiny) -> None:
    config = tiny_config(train__steps=100, eval={"every": 30, "batches": 7})
    assert evaluated_tokens(config) == 3 * 7 * 4 * 16
    assert duration(config, Speed(1.0, "")).evaluation_seconds == pytest.approx(7 * 4 * 16)


def test_speed_of_a_device_is_its_peak_over_the_work(tiny_config: Tiny) -> None:
    plan = make_plan(tiny_config(), name="tiny", speed=DeviceSpeed(1e12, 0.5))
    assert plan.duration is not None
    assert plan.duration.training_seconds == pytest.approx(plan.training_flops / 0.5e12)


def test_phases_count_as_they_are(tiny_config: Tiny) -> None:
    phases = [{"until": 0.5, "seq_len": 8}]
    data = {"source": {"name": "synthetic"}, "seq_len": 16, "phase": phases}
    plan = make_plan(tiny_config(train__steps=10, data=data), name="tiny", speed=Speed(1.0, ""))
    assert plan.duration is not None
    assert plan.duration.training_seconds == 5 * 4 * 8 + 5 * 4 * 16
