from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.events import EventLog, begin_attempt
from nanochat_framework.runs.jsonlines import Record
from nanochat_framework.runs.metrics import METRICS, MetricsLog, describe, effective, read_metrics

DECISION = Path(__file__).resolve().parents[2] / "docs" / "decisions" / "0007-metric-names.md"


class Killed(Exception):
    """The simulated training ends here."""


@dataclass
class Kill:
    """When a training dies: with its n-th line, of which that many bytes do not reach the file."""

    after: int
    torn: int
    choice: float = 1.0
    """Which checkpoint the next attempt goes on from: 1.0 the newest, 0.0 the oldest."""


@dataclass
class Training:
    """Writes what a trainer writes, in its order, through the real writers; may be killed at any line, within it too."""

    run: RunDirectory
    steps: int
    log_every: int
    eval_every: int
    checkpoint_every: int
    checkpoints: list[int] = field(default_factory=lambda: [0])

    def attempt(self, kill: Kill | None) -> None:
        """From the newest checkpoint to the end, or until killed."""
        self.lines_left = kill.after if kill else -1
        self.torn = kill.torn if kill else 0
        began = self.checkpoints[-1]
        events = begin_attempt(self.run.events, began)
        assert all(record["step"] <= began for record in read_metrics(self.run.metrics))
        self._wrote(self.run.events)
        metrics = MetricsLog(self.run.metrics, events.attempt)
        for step in range(began + 1, self.steps + 1):
            self._step(step, metrics, events)

    def _step(self, step: int, metrics: MetricsLog, events: EventLog) -> None:
        if step % self.log_every == 0 or step in (1, self.steps):
            loss = math.inf if step % 7 == 0 else 1 / step
            metrics.write(step=step, tokens=step * 8, values={"train/loss": loss, "train/grad_norm": step / 3})
            self._wrote(self.run.metrics)
        if step % self.eval_every == 0:
            metrics.write(step=step, tokens=step * 8, values={"eval/loss": 1 / (step + 1)})
            self._wrote(self.run.metrics)
        if step % self.checkpoint_every == 0:
            self.checkpoints.append(step)
            events.write("checkpoint", step=step)
            self._wrote(self.run.events)

    def _wrote(self, path: Path) -> None:
        self.lines_left -= 1
        if self.lines_left == 0:
            lines = path.read_bytes().splitlines(keepends=True)
            os.truncate(path, path.stat().st_size - min(self.torn, len(lines[-1])))
            raise Killed


def without_attempts(records: list[Record]) -> list[Record]:
    return [{key: value for key, value in record.items() if key not in ("attempt", "time")} for record in records]


KILLS = st.lists(
    st.builds(Kill, st.integers(1, 40), st.integers(0, 200), st.sampled_from([1.0, 1.0, 0.5, 0.0])), max_size=6
)


@settings(deadline=None, max_examples=100)
@given(
    steps=st.integers(1, 30),
    log_every=st.integers(1, 4),
    eval_every=st.integers(1, 10),
    checkpoint_every=st.integers(1, 8),
    kills=KILLS,
)
def test_any_kills_and_resumes_read_like_a_training_left_alone(
    tmp_path_factory: pytest.TempPathFactory,
    steps: int,
    log_every: int,
    eval_every: int,
    checkpoint_every: int,
    kills: list[Kill],
) -> None:
    def training(name: str) -> Training:
        run = RunDirectory(tmp_path_factory.mktemp(name))
        return Training(run, steps, log_every, eval_every, checkpoint_every)

    alone, killed = training("alone"), training("killed")
    alone.attempt(None)
    expected = without_attempts(read_metrics(alone.run.metrics))

    for kill in kills:
        try:
            killed.attempt(kill)
        except Killed:
            so_far = without_attempts(read_metrics(killed.run.metrics))
            assert so_far[:-1] == expected[: max(0, len(so_far) - 1)]  # no hole, no double, nothing else
            if so_far:  # of the last step, its second line may be missing
                assert so_far[-1].items() <= expected[len(so_far) - 1].items()
        index = round(kill.choice * (len(killed.checkpoints) - 1))
        killed.checkpoints = killed.checkpoints[: index + 1]
    killed.attempt(None)

    assert without_attempts(read_metrics(killed.run.metrics)) == expected
    killed.run.events.unlink()  # what the attempts logged is enough to tell where each one began
    assert without_attempts(read_metrics(killed.run.metrics)) == expected


def line(attempt: int, step: int, **values: float | str) -> Record:
    return {"attempt": attempt, "step": step, **values}


def steps_of(records: list[Record]) -> list[tuple[int, int]]:
    return [(record["step"], record["attempt"]) for record in records]


def test_a_resume_supersedes_what_it_has_not_logged_again() -> None:
    first = [line(1, step) for step in range(1, 7)]
    assert steps_of(effective(first, [(1, 0), (2, 3)])) == [(1, 1), (2, 1), (3, 1)]
    assert steps_of(effective([*first, line(2, 4)], [(1, 0), (2, 3)])) == [(1, 1), (2, 1), (3, 1), (4, 2)]


def test_a_step_given_up_stays_given_up_when_a_later_attempt_begins_beyond_it() -> None:
    records = [*(line(1, step) for step in range(1, 7)), line(2, 3), line(3, 6)]
    assert steps_of(effective(records, [(1, 0), (2, 2), (3, 5)])) == [(1, 1), (2, 1), (3, 2), (6, 3)]


def test_a_training_from_scratch_supersedes_everything() -> None:
    assert effective([line(1, 1), line(1, 2)], [(1, 0), (2, 0)]) == []


def test_lines_of_one_step_are_one_record_and_later_values_count() -> None:
    records = [line(1, 5, a=1.0, b=1.0), line(1, 5, c=1.0), line(2, 5, b=2.0)]
    assert effective(records, [(1, 0), (2, 5)]) == [line(2, 5, a=1.0, b=2.0, c=1.0)]


def test_without_its_event_an_attempt_begins_before_its_first_record() -> None:
    records = [line(1, 1), line(1, 2), line(1, 3), line(1, 4), line(2, 3)]
    assert steps_of(effective(records, [])) == [(1, 1), (2, 1), (3, 2)]


def test_records_of_an_unknown_kind_are_passed_over() -> None:
    odd: list[Record] = [
        {},
        {"step": 1},
        {"attempt": 1},
        line(1, -1),
        {"attempt": "1", "step": 2},
        {"attempt": 1, "step": True},
    ]
    assert effective([*odd, line(1, 1, x=2.0)], []) == [line(1, 1, x=2.0)]


def test_values_come_back_as_the_floats_they_were(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    log = MetricsLog(run.metrics, 1)
    values = {"a": 0.1 + 0.2, "b": 5e-324, "c": -math.inf, "d": 1.7976931348623157e308}
    log.write(step=1, tokens=1, values=values)
    log.sync()
    (record,) = read_metrics(run.metrics)
    assert {name: record[name] for name in values} == values
    assert read_metrics(tmp_path / "none.jsonl") == []


def test_a_metric_cannot_take_the_place_of_a_records_own_keys(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        MetricsLog(tmp_path / "metrics.jsonl", 1).write(step=1, tokens=1, values={"step": 2.0})


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("train/loss", "train/loss"),
        ("train/mtp", "train/<objective>"),
        ("train/learning_rate/matrix", "train/learning_rate/<group>"),
        ("system/memory_bytes", "system/<reading>"),
        ("eval/other", None),
        ("loss", None),
    ],
)
def test_a_name_is_described_by_its_entry(name: str, entry: str | None) -> None:
    found = describe(name)
    assert (found.name if found else None) == entry


def test_the_decision_lists_the_table_as_it_is() -> None:
    rows = re.findall(r"^\| `([^`]+)` \| ([^|]*) \| (.+) \|$", DECISION.read_text(), re.MULTILINE)
    assert [(name, unit.strip(), summary) for name, unit, summary in rows] == [
        (metric.name, metric.unit, metric.summary) for metric in METRICS.values()
    ]
