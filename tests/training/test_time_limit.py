"""`train.max_hours`: the number of steps is fixed once, kept by every resume, and the time is not exceeded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tomli_w

from nanochat_framework.cli import main
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.runs.metrics import read_metrics
from nanochat_framework.training import time_limit
from nanochat_framework.training.time_limit import Fixed, TimeLimitCallback, fixed_before
from nanochat_framework.training.world import World
from tests.conftest import tiny_dict

SECONDS = 3.0


def records(run: Path, prefix: str = "train/") -> dict[int, dict[str, float]]:
    timed = ("train/tokens_per_second", "train/data_wait_seconds")
    return {
        record["step"]: {key: value for key, value in record.items() if key.startswith(prefix) and key not in timed}
        for record in read_metrics(run / "metrics.jsonl")
    }


def decided(run: Path) -> list[dict[str, Any]]:
    events = map(json.loads, (run / "events.jsonl").read_text().splitlines())
    return [event for event in events if event["kind"] == "steps_fixed"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hours")
    schedules = {"momentum": {"name": "linear"}}
    data = tiny_dict(
        train={"max_hours": SECONDS / 3600, "batch_size": 4, "log_every": 1},
        optimizer=[
            {"match": "matrix", "name": "muon", "lr": 0.02, "schedules": schedules},
            {"match": "*", "name": "lion", "lr": 0.001},
        ],
        checkpoint={"every": 10, "keep_last": 1000},
    )
    (folder / "timed.toml").write_text(tomli_w.dumps(data))
    assert main(["train", str(folder / "timed.toml"), "--run", "timed", "--runs-dir", str(folder), "--quiet"]) == 0
    return folder / "timed"


def test_it_trains_to_the_step_that_was_fixed_and_no_longer(finished: Path) -> None:
    status = json.loads((finished / "status.json").read_text())
    events = decided(finished)
    assert (status["state"], status["step"]) == ("finished", events[-1]["total_steps"])
    assert status["total_steps"] == status["step"]
    assert events[0]["step"] >= time_limit.TIMED_STEPS
    assert (finished / "checkpoints" / "final").exists()
    seconds = json.loads((finished / "checkpoints" / "final" / "meta.json").read_text())["callbacks"]
    assert 0.5 * SECONDS < seconds["TimeLimitCallback"]["seconds"] <= SECONDS


def test_schedules_end_at_the_step_that_was_fixed(finished: Path, tiny_config: Callable[..., RunConfig]) -> None:
    at, total = decided(finished)[0]["step"], decided(finished)[0]["total_steps"]
    schedule = tiny_config().schedule
    before, after = schedule.build(total_steps=10**9), schedule.build(total_steps=total)
    for step, record in records(finished).items():
        expected = 0.02 * (before if step <= at else after).multiplier(step)
        assert record["train/learning_rate/muon"] == expected


@pytest.mark.parametrize("which", [0, 1, -2])
def test_a_resume_takes_the_same_steps(finished: Path, tmp_path: Path, which: int) -> None:
    shutil.copytree(finished, tmp_path / "timed")
    names = sorted(path.name for path in (finished / "checkpoints").glob("step_*"))
    assert main(["resume", "timed", "--from", names[which], "--runs-dir", str(tmp_path), "--quiet"]) == 0
    assert records(tmp_path / "timed") == records(finished)
    assert decided(tmp_path / "timed") == decided(finished), "nothing is decided twice"


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Run:
    """Steps of given lengths in seconds, driven as the trainer drives its callbacks."""

    def __init__(self, clock: Clock, callback: TimeLimitCallback, step: int = 0) -> None:
        self.clock, self.callback, self.step = clock, callback, step
        self.total_steps: int | None = None
        self.world = World()
        self.written: list[dict[str, Any]] = []
        self.schedules_end: int | None = None
        self.events = SimpleNamespace(write=lambda kind, **facts: self.written.append({"kind": kind, **facts}))
        self.module = SimpleNamespace(optimizers=SimpleNamespace(schedule_over=self._schedule_over))

    def _schedule_over(self, total_steps: int) -> None:
        self.schedules_end = total_steps

    @property
    def finished(self) -> bool:
        return self.total_steps is not None and self.step >= self.total_steps

    def go(self, seconds: Callable[[int], float], between: Callable[[int], float] = lambda step: 0.0) -> float:
        began = self.clock.now
        self.callback.on_start(self)  # type: ignore[arg-type]
        while not self.finished:
            self.callback.before_step(self)  # type: ignore[arg-type]
            self.clock.now += seconds(self.step + 1)
            self.step += 1
            self.callback.after_step(self, SimpleNamespace(step=self.step))  # type: ignore[arg-type]
            self.clock.now += between(self.step)
        return self.clock.now - began


@pytest.mark.parametrize(
    ("seconds", "between"),
    [
        (lambda step: 1.0, lambda step: 0.0),
        (lambda step: 1.0, lambda step: 9.0 if step % 50 == 0 else 0.0),
        (lambda step: 60.0 if step <= 2 else 1.0, lambda step: 0.0),
        (lambda step: 1.0 if step < 200 else 3.0, lambda step: 0.0),
        (lambda step: 1.0 if step < 200 else 0.2, lambda step: 5.0 if step % 100 == 0 else 0.0),
        (lambda step: 700.0, lambda step: 0.0),
    ],
    ids=["even", "with evaluations", "slow start", "slows down", "speeds up", "few steps"],
)
def test_the_limit_holds_whatever_the_machine_does(
    seconds: Callable[[int], float], between: Callable[[int], float]
) -> None:
    run = Run(Clock(), TimeLimitCallback(1.0, None))
    used = run.go(seconds, between)
    assert used <= 3600.0
    if seconds(500) == seconds(3):
        assert used >= 0.9 * 3600 - seconds(3), "most of the time is used"
    again = fixed_before(run.written)
    assert again is not None
    assert (again.end or again.total_steps) == run.step
    assert run.schedules_end == again.total_steps


def test_slow_first_steps_do_not_count_and_compilation_is_paid_for() -> None:
    run = Run(Clock(), TimeLimitCallback(1.0, None))
    run.go(lambda step: 100.0 if step <= 2 else 1.0)
    (event,) = run.written
    assert event["step"] == 2 + 72, "2 % of an hour"
    assert event["total_steps"] == 74 + int(0.98 * (3600 - 200 - 72))


def test_a_slower_replay_keeps_the_end_that_time_had_set() -> None:
    clock = Clock()
    first = Run(clock, TimeLimitCallback(1.0, None))
    first.go(lambda step: 1.0 if step < 200 else 3.0)
    known = fixed_before(first.written)
    assert known is not None
    assert known.end == first.step < known.total_steps
    for begin in (0, known.at - 1, known.at, known.at + 1):
        replay = Run(clock, TimeLimitCallback(1.0, known), step=begin)
        replay.go(lambda step: 4.0)
        assert (replay.step, replay.written, replay.schedules_end) == (first.step, [], known.total_steps)


def test_time_goes_on_counting_after_a_resume() -> None:
    clock = Clock()
    first = Run(clock, TimeLimitCallback(1.0, None))
    first.go(lambda step: 1.0)
    kept = first.callback.state()
    assert kept["seconds"] == pytest.approx(clock.now - 100)
    moved = TimeLimitCallback(1.0, None)  # a checkpoint without its run's events
    moved.load_state(json.loads(json.dumps({**kept, "seconds": 3000.0})))
    assert moved.fixed == fixed_before(first.written)
    late = Run(clock, moved, step=3000)
    assert late.go(lambda step: 2.0) <= 600


def test_events_that_decide_nothing() -> None:
    assert fixed_before([]) is None
    assert fixed_before([{"kind": "steps_fixed"}, {"kind": "steps_fixed", "step": True, "total_steps": 3}]) is None
    event = {"kind": "steps_fixed", "step": 3, "total_steps": 9}
    assert fixed_before([event]) == Fixed(3, 9)
    assert fixed_before([{"kind": "finished", "step": 5}, event]) == Fixed(3, 9)
    assert fixed_before([event, {"kind": "finished", "step": 9}]) == Fixed(3, 9, 9)
    assert fixed_before([event, {**event, "step": 7, "total_steps": 7, "out_of_time": True}]) == Fixed(3, 9, 7)
