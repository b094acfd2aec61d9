"""The rules behind alerts, on made-up losses and clocks."""

from __future__ import annotations

import math
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from nanochat_framework.runs.events import EventLog
from nanochat_framework.runs.jsonlines import read
from nanochat_framework.training.alerts import AlertDesk, LossWatch, StallWatch


@given(st.lists(st.floats(0.0, 20.0), max_size=200), st.floats(0.01, 5.0), st.integers(1, 50))
def test_a_rise_is_what_its_definition_says(losses: list[float], limit: float, window: int) -> None:
    """Against the definition, computed anew at every step."""
    watch = LossWatch(limit, window=window, settle=1)
    smoothed: list[float] = []
    for number, loss in enumerate(losses, 1):
        weights = [0.95 ** (number - i) for i in range(1, number + 1)]
        smoothed.append(sum(w * x for w, x in zip(weights, losses, strict=False)) / sum(weights))
        lowest = min(smoothed[-window:])
        found = watch.rise(loss)
        margin = smoothed[-1] - lowest - limit
        if abs(margin) > 1e-6:
            assert (found is not None) == (margin > 0)


def test_a_falling_noisy_loss_is_no_divergence_and_nan_is_passed_over() -> None:
    watch = LossWatch(1.0)
    for step in range(3000):
        noise = 0.8 * math.sin(step * 12.9898)
        assert watch.rise(3 + 7 * math.exp(-step / 300) + noise) is None
        assert watch.rise(math.nan) is None
    rises = [watch.rise(6.0) for _ in range(60)]
    assert rises[0] is None, "one high step is none yet"
    assert rises[-1] is not None


def test_no_rise_is_told_where_it_is_switched_off() -> None:
    watch = LossWatch(0.0)
    assert not any(watch.rise(float(loss)) for loss in range(200))


def test_a_stall() -> None:
    watch = StallWatch(factor=10, least_seconds=5)
    watch.begin(0.0)
    assert watch.silence(600) is None, "the first step may compile"
    assert watch.silence(901) == 901
    for step in range(1, 21):
        watch.sign(900.0 + step, step=True)
    assert watch.allowed() == 10.0, "ten times a second"
    assert watch.silence(929.9) is None
    assert watch.silence(931.0) == 11.0
    watch.sign(960.0)  # an evaluation: it took 40 s, and that is usual from now on
    assert watch.allowed() == 80.0
    watch.sign(961.0, step=True)
    watch.sign(962.0, step=True)
    assert watch.allowed() == 80.0
    watch.begin(5000.0)  # after a pause
    assert watch.silence(5050.0) is None
    assert StallWatch(0, 1).silence(1e9) is None


def test_an_evaluation_is_no_part_of_a_step() -> None:
    watch = StallWatch(factor=10, least_seconds=0.001)
    watch.begin(0.0)
    watch.sign(1.0, step=True)
    watch.sign(2.0, step=True)
    for step in range(1, 10):
        watch.sign(10.0 * step, step=True)
        watch.sign(10.0 * step + 9.0)  # nine seconds of evaluation, and a step of one second
    watch.sign(100.0, step=True)
    watch.sign(101.0, step=True)
    assert watch.allowed() == 2 * 9.0, "the longest silence, not ten of what looks like ten-second steps"


def test_alerts_of_a_kind_are_rare_and_counted(tmp_path: Path) -> None:
    said: list[str] = []
    desk = AlertDesk(EventLog(tmp_path / "events.jsonl", 1), said.append, 3600)
    for number in range(5):
        desk.alert("disk", f"disk {number}")
    desk.alert("stall", "stall", silent_seconds=3)
    desk._last["disk"] -= 4000
    desk.alert("disk", "disk again")
    assert said == ["alert: disk 0", "alert: stall", "alert: disk again (and 4 times since the alert before)"]
    events = list(read(tmp_path / "events.jsonl"))
    assert [(event["kind"], event["alert"], event["held_back"]) for event in events] == [
        ("alert", "disk", 0),
        ("alert", "stall", 0),
        ("alert", "disk", 4),
    ]
