"""Law 7 with a hand on the wheel: kill trainer and controller at any instant; nothing is lost and nothing differs."""

from __future__ import annotations

from pathlib import Path

import pytest

from nanochat_framework.runs.jsonlines import read
from tests.laws.steered_and_killed import compare, left_alone, steered


@pytest.mark.parametrize(
    ("seed", "kills", "steps"),
    [
        pytest.param(0, 2, 150, id="two"),
        *(pytest.param(seed, 12, 2000, id=f"twelve-{seed}", marks=pytest.mark.slow) for seed in (1, 2, 3)),
    ],
)
def test_a_steered_and_killed_run_equals_one_left_alone(tmp_path: Path, seed: int, kills: int, steps: int) -> None:
    run = steered(tmp_path, steps=steps, kills=kills, seed=seed, window_s=1.5)
    answered = {event.get("id") for event in read(run.events) if event["kind"] == "acknowledged"}
    assert {request["id"] for request in read(run.control)} <= answered, "whatever was asked has an answer at last"
    assert compare(run, left_alone(run, tmp_path)) == steps
