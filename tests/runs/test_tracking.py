"""Trackers work beside a training: a slow one loses its oldest records, a failing one is switched off, none holds it up."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from nanochat_framework.contracts.tracker import TrackedRun, Tracker
from nanochat_framework.runs import tracking
from nanochat_framework.runs.tracking import Trackers, TrackerThread

RUN = TrackedRun("1f", "first", Path(), attempt=1, rewound_to=0)


class Recorder(Tracker):
    """Keeps its calls; waits in `metrics` while `gate` is closed."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.gate.set()

    def open(self, run: TrackedRun, config: Mapping[str, Any]) -> None:
        self.calls.append(("open", run.attempt, config["seed"]))

    def metrics(self, step: int, record: Mapping[str, Any]) -> None:
        self.entered.set()
        assert self.gate.wait(20)
        self.calls.append(("metrics", step))

    def samples(self, step: int, samples: Any) -> None:
        self.calls.append(("samples", step, samples))

    def event(self, event: Mapping[str, Any]) -> None:
        self.calls.append(("event", event["kind"]))

    def close(self) -> None:
        self.calls.append(("close",))


class Failing(Recorder):
    """Fails in the named methods, `times` times in all."""

    def __init__(self, *methods: str, times: int = 10**9) -> None:
        super().__init__()
        self.methods, self.left = methods, times

    def __getattribute__(self, name: str) -> Any:
        if name in ("open", "metrics", "event", "close") and name in self.methods and self.left > 0:
            self.left -= 1
            raise SystemExit(f"{name} broke")
        return super().__getattribute__(name)


@pytest.fixture
def reports() -> list[tuple[str, str, bool]]:
    return []


@pytest.fixture
def report(reports: list[tuple[str, str, bool]]) -> Any:
    return lambda name, error, switched_off: reports.append((name, str(error), switched_off))


def test_calls_come_in_order_and_close_is_last(report: Any, reports: list[Any]) -> None:
    one, two = Recorder(), Recorder()
    trackers = Trackers([("one", one), ("two", two)], RUN, {"seed": 3}, report)
    trackers.metrics({"step": 1})
    trackers.event({"kind": "checkpoint"})
    trackers.samples(2, [{"text": "x"}])
    trackers.close()
    trackers.close()
    expected = [("open", 1, 3), ("metrics", 1), ("event", "checkpoint"), ("samples", 2, [{"text": "x"}]), ("close",)]
    assert one.calls == two.calls == expected
    assert not reports


def test_a_slow_tracker_loses_the_oldest(report: Any, capsys: pytest.CaptureFixture[str]) -> None:
    slow = Recorder()
    slow.gate.clear()
    thread = TrackerThread("slow", slow, RUN, {"seed": 0}, report, queue_limit=3)
    thread.put("metrics", 0, {})
    assert slow.entered.wait(20)
    for step in range(1, 11):
        thread.put("metrics", step, {})
    assert thread.dropped == 7
    slow.gate.set()
    thread.begin_close()
    thread.put("metrics", 11, {})
    assert thread.wait(20) == 0
    assert [call[1] for call in slow.calls if call[0] == "metrics"] == [0, 8, 9, 10]


def test_one_that_hangs_is_left_behind(report: Any, capsys: pytest.CaptureFixture[str]) -> None:
    hanging = Recorder()
    hanging.gate.clear()
    trackers = Trackers([("stuck", hanging)], RUN, {"seed": 0}, report)
    for step in range(3):
        trackers.metrics({"step": step})
    assert hanging.entered.wait(20)
    trackers.close(0.05)
    assert capsys.readouterr().err == "tracker stuck: 3 records were not written within 0.05 s\n"
    hanging.gate.set()


def test_three_errors_switch_it_off(report: Any, reports: list[Any]) -> None:
    failing, well = Failing("metrics"), Recorder()
    trackers = Trackers([("bad", failing), ("good", well)], RUN, {"seed": 0}, report)
    for step in range(6):
        trackers.metrics({"step": step})
    trackers.close()
    assert reports == [("bad", "metrics broke", False), ("bad", "metrics broke", False), ("bad", "metrics broke", True)]
    assert failing.calls == [("open", 1, 0), ("close",)]
    assert [call[1] for call in well.calls if call[0] == "metrics"] == list(range(6))


def test_opening_is_tried_again_and_nothing_is_lost(
    report: Any, reports: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "RETRY_SECONDS", 0.01)
    late, never = Failing("open", times=2), Failing("open")
    trackers = Trackers([("late", late), ("never", never)], RUN, {"seed": 0}, report)
    trackers.metrics({"step": 1})
    trackers.close()
    assert late.calls == [("open", 1, 0), ("metrics", 1), ("close",)]
    assert never.calls == [("close",)]
    assert [switched_off for name, _, switched_off in reports if name == "never"] == [False, False, True]


def test_a_report_may_come_back_as_an_event(reports: list[Any]) -> None:
    """An error is an event, and events go to the tracker that failed: it ends after three all the same."""
    holder: list[Trackers] = []

    def report(name: str, error: BaseException, *, switched_off: bool) -> None:
        reports.append(switched_off)
        holder[0].event({"kind": "tracker_error"})

    holder.append(Trackers([("bad", Failing("event"))], RUN, {"seed": 0}, report))
    holder[0].event({"kind": "checkpoint"})
    while len(reports) < 3:
        threading.Event().wait(0.01)
    holder[0].close()
    assert reports == [False, False, True]
