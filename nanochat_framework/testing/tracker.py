"""The laws of a tracker (`contracts.tracker`)."""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import redirect_stdout, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from nanochat_framework.contracts.tracker import TrackedRun, Tracker
from nanochat_framework.testing.subject import Subject
from nanochat_framework.testing.suite import law

CONFIG: Mapping[str, Any] = {"model": {"name": "decoder", "dim": 32}, "train": {"steps": 4, "seed": 0}, "eval": {}}


def built(subject: Subject) -> Tracker:
    """The tracker, not yet opened."""
    tracker: Tracker = subject.build()
    return tracker


def the_factory_builds_the_contract(subject: Subject) -> None:
    """The factory returns a `Tracker`, a new one at each call."""
    found = built(subject)
    assert isinstance(found, Tracker), f"the factory returns a {type(found).__name__}, which is no Tracker"
    assert built(subject) is not found, "the factory returns the same object twice; two runs would share it"


def closing_is_always_allowed(subject: Subject) -> None:
    """`close` may be called without `open`, and twice."""
    tracker = built(subject)
    tracker.close()
    tracker.close()
    with TemporaryDirectory() as folder:
        tracker = built(subject)
        _record(tracker, _run(Path(folder), 1, 0), range(1, 3))
        tracker.close()
        tracker.close()


def every_record_is_taken(subject: Subject) -> None:
    """It takes each kind of record, in any number: metrics that differ from step to step, samples, events it never saw."""
    with TemporaryDirectory() as folder:
        tracker = built(subject)
        tracker.open(_run(Path(folder), 1, 0), CONFIG)
        tracker.metrics(1, _metrics(1, {"train/loss": 4.0}))
        tracker.metrics(1, _metrics(1, {"eval/loss": 4.5, "a/metric/of a plugin": 1e30}))
        tracker.metrics(2, _metrics(2, {"train/loss": 3.5, "train/learning_rate/muon": 0.0}))
        tracker.metrics(3, _metrics(3, {}))
        tracker.samples(3, [])
        tracker.samples(3, [{"prompt_index": 0, "prompt": "Once", "text": ' ü\n"x"', "finish_reason": "length"}])
        tracker.event({"time": 1.0, "attempt": 1, "kind": "a_kind_of_a_plugin", "step": 3, "more": [1, {"a": None}]})
        tracker.close()


def an_attempt_goes_on(subject: Subject) -> None:
    """A second attempt of the same run, back at an earlier step, is opened in the same folder and goes on."""
    with TemporaryDirectory() as folder:
        _record(built(subject), _run(Path(folder), 1, 0), range(1, 5))
        _record(built(subject), _run(Path(folder), 2, 2), range(3, 6))


def an_open_that_failed_is_tried_again(subject: Subject) -> None:
    """After an `open` that raised, `close` and another `open` on the same object work."""
    with TemporaryDirectory() as folder:
        blocked = Path(folder) / "file"
        blocked.write_text("no folder")
        tracker = built(subject)
        with suppress(Exception):  # there can be no such folder
            tracker.open(_run(blocked / "run", 1, 0), CONFIG)
        tracker.close()
        _record(tracker, _run(Path(folder), 1, 0), range(1, 3))


def stdout_is_left_alone(subject: Subject) -> None:
    """Nothing is printed to stdout, which is data."""
    with TemporaryDirectory() as folder, redirect_stdout(io.StringIO()) as printed:
        _record(built(subject), _run(Path(folder), 1, 0), range(1, 3))
    assert not printed.getvalue(), f"it prints {printed.getvalue()[:80]!r} to stdout"


def _run(folder: Path, attempt: int, rewound_to: int) -> TrackedRun:
    return TrackedRun(id="0123456789abcdef", name="contract", folder=folder, attempt=attempt, rewound_to=rewound_to)


def _record(tracker: Tracker, run: TrackedRun, steps: range) -> None:
    tracker.open(run, CONFIG)
    for step in steps:
        tracker.metrics(step, {**_metrics(step, {"train/loss": 4.0 / step}), "attempt": run.attempt})
    tracker.event({"time": 2.0, "attempt": run.attempt, "kind": "checkpoint", "step": steps[-1], "name": "step_2"})
    tracker.close()


def _metrics(step: int, values: Mapping[str, float]) -> dict[str, Any]:
    return {"attempt": 1, "step": step, "time": 1.0 + step, "tokens": 64 * step, **values}


LAWS = tuple(
    map(
        law,
        (
            the_factory_builds_the_contract,
            closing_is_always_allowed,
            every_record_is_taken,
            an_attempt_goes_on,
            an_open_that_failed_is_tried_again,
            stdout_is_left_alone,
        ),
    )
)
