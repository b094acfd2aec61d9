"""Law 7: kill the trainer at any instant; resume reproduces the uninterrupted run bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.laws.kill_and_resume import compare, interrupted, uninterrupted


@pytest.mark.parametrize(
    ("kills", "checkpoint_kills", "steps"),
    [
        pytest.param(3, 2, 600, id="a-few"),
        pytest.param(30, 5, 4000, id="thirty-and-five", marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_equals_one_left_alone(tmp_path: Path, kills: int, checkpoint_kills: int, steps: int) -> None:
    alone = uninterrupted(tmp_path / "alone", steps=steps)
    outcome = interrupted(
        tmp_path / "killed", steps=steps, kills=kills, checkpoint_kills=checkpoint_kills, seed=0, window_s=8.0
    )
    assert outcome.checkpoint_kills == checkpoint_kills
    assert compare(alone, tmp_path / "killed" / "killed") == steps
