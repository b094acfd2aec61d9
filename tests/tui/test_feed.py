"""Reading a run's files as they grow, against reading them whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.events import rewinds
from nanochat_framework.runs.metrics import effective
from nanochat_tui import feed as feed_module
from nanochat_tui.chart_specs import others, standard
from nanochat_tui.charts.series import AXES, Series
from nanochat_tui.feed import MetricStore, RunFeed, event_line
from tests.tui.run_folders import log_steps, make_run

ATTEMPTS = st.lists(st.tuples(st.integers(0, 12), st.integers(1, 8)), min_size=1, max_size=5)
"""(step that an attempt goes on from, records that it writes) of each attempt."""


@settings(max_examples=80)
@given(ATTEMPTS, st.data())
def test_series_are_what_the_attempt_rule_says(attempts: list[tuple[int, int]], data: st.DataObject) -> None:
    store, records, opened = MetricStore(), [], []
    for attempt, (rewound, count) in enumerate(attempts, 1):
        opened.append((attempt, rewound))
        store.opened(attempt, rewound)
        fresh = [
            {"attempt": attempt, "step": rewound + i, "time": 1.0 * i, "tokens": i, "train/loss": attempt + i / 100}
            for i in range(1, count + 1)
        ]
        cut = data.draw(st.integers(0, count))
        store.feed(fresh[:cut])
        store.feed(fresh[cut:])
        records += fresh
    expected = effective(records, opened)
    series = store.series["train/loss"]
    assert list(series.places["step"]) == [record["step"] for record in expected]
    assert list(series.values.values) == [record["train/loss"] for record in expected]


RECORDS = st.lists(
    st.one_of(
        st.tuples(st.integers(0, 30), st.sets(st.sampled_from("abc"))),
        st.integers(0, 30),  # an attempt that goes on from there
    ),
    max_size=40,
)


@settings(max_examples=200)
@given(RECORDS)
def test_metrics_that_share_their_places_are_as_if_each_had_its_own(history: list[tuple[int, set[str]] | int]) -> None:
    store, alone, attempt = MetricStore(), dict[str, Series](), 1
    store.opened(1, 0)
    for number, happened in enumerate(history):
        if isinstance(happened, int):
            attempt += 1
            store.opened(attempt, happened)
            for series in alone.values():
                series.rewind(happened)
            continue
        step, names = happened
        values = {name: number + ord(name) / 1000 for name in sorted(names)}
        store.feed([{"attempt": attempt, "step": step, "tokens": 2 * step, "time": 100.0 + number, **values}])
        for name, value in values.items():
            alone.setdefault(name, Series()).put(step, 2 * step, number - _first(history), value)
    assert set(store.series) == set(alone)
    for name, series in alone.items():
        assert list(store.series[name].values.values) == list(series.values.values)
        for axis in AXES:
            assert list(store.series[name].places[axis]) == list(series.places[axis])


def _first(history: list[tuple[int, set[str]] | int]) -> int:
    """Where the first record stands, from which time is counted."""
    return next(number for number, happened in enumerate(history) if not isinstance(happened, int))


def test_metrics_of_the_same_records_have_their_places_once() -> None:
    store = MetricStore()
    store.feed([{"attempt": 1, "step": step, "time": 0, "a": 1.0, "b": 2.0} for step in range(1, 9)])
    store.feed([{"attempt": 1, "step": 9, "time": 0, "a": 1.0, "b": 2.0, "late": 3.0}])
    shared = store.series["a"].places["step"]
    assert store.series["b"].places["step"] is shared
    assert list(store.series["late"].places["step"]) == [9]
    store.feed([{"attempt": 1, "step": 10, "time": 0, "a": 1.0}])
    assert list(store.series["b"].places["step"]) == list(range(1, 10))
    assert list(store.series["a"].places["step"]) == list(range(1, 11))


def test_an_attempt_whose_event_is_lost_begins_before_its_first_record() -> None:
    store = MetricStore()
    store.feed([{"attempt": 1, "step": step, "time": 0, "tokens": 0, "a": 1.0} for step in range(1, 9)])
    store.feed([{"attempt": 2, "step": 5, "time": 0, "tokens": 0, "a": 2.0}, {"attempt": 1, "step": 9, "a": 3.0}])
    assert list(store.series["a"].places["step"]) == [1, 2, 3, 4, 5]


def test_values_that_are_no_numbers_are_holes_or_passed_over() -> None:
    store = MetricStore()
    store.feed(
        [{"attempt": 1, "step": 1, "a": "NaN", "b": "text", "c": True, "d": None, "time": "NaN"}, {"attempt": 1}, {}]
    )
    assert list(store.series) == ["a"]


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    made = make_run(tmp_path, "r", state="running", step=300)
    log_steps(made, 1, 300)
    return made


def test_a_file_is_read_in_chunks_and_nothing_is_read_twice(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "CHUNK_BYTES", 4096)
    feed = RunFeed(run)
    polls = 1
    while feed.poll():
        polls += 1
    assert polls > 5
    assert len(feed.store.series["train/loss"]) == 300
    assert list(rewinds(feed.events)) == [(1, 0)]
    version = feed.store.version
    assert not feed.poll()
    assert feed.store.version == version
    log_steps(run, 301, 310)
    assert not feed.poll()
    assert len(feed.store.series["train/loss"]) == 310


def test_a_file_that_was_replaced_is_read_anew(run: RunDirectory) -> None:
    feed = RunFeed(run)
    while feed.poll():
        pass
    run.metrics.unlink()
    log_steps(run, 1, 7)
    feed.poll()
    assert len(feed.store.series["train/loss"]) == 7


def test_log_and_samples(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "KEPT_LINES", 5)
    run.train_log.write_text("".join(f"line {i}\n" for i in range(9)) + "unfinished")
    run.samples.write_text(json.dumps({"step": 10, "prompt": "a", "text": "b"}) + "\n")
    feed = RunFeed(run)
    feed.poll()
    assert feed.log == [f"line {i}" for i in range(4, 9)]
    assert feed.log_version == 9
    assert feed.samples[0]["text"] == "b"


def test_an_event_is_a_line() -> None:
    event = {
        "time": 0.0,
        "attempt": 1,
        "kind": "alert",
        "step": 5,
        "message": "a\nb",
        "loss": 2.123456789,
        "x": {"y": 1},
    }
    assert event_line(event).endswith("5  ! alert         message a b  loss 2.1235  x y=1")
    assert event_line({"kind": None}) == "-            None"


def test_chart_specs() -> None:
    names = ["train/loss", "train/learning_rate/rest", "eval/loss", "system/gpu_memory_bytes.1", "train/entropy", "a/b"]
    specs = standard(names)
    assert [spec.title.split("  ")[0] for spec in specs] == ["loss", "learning rate", "memory"]
    assert specs[0].metrics == (("train/loss", "train"), ("eval/loss", "held-out"))
    assert specs[2].metrics == (("system/gpu_memory_bytes.1", "GPU 1"),)
    assert others(names) == ["a/b", "train/entropy"]
