"""events.jsonl: what happened to a run, and how its attempts are counted.

Every event has `time` (seconds since 1970), `attempt` and `kind`. `started` and `resumed` open an attempt and carry
`rewound_to`, the step that the attempt goes on from; see `runs.metrics` for the rule that hangs on it.
"""

from __future__ import annotations

import threading
import time
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeGuard

from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.jsonlines import JsonLinesWriter, Record, heal, last, nobody, read
from nanochat_framework.runs.outage import Outage, PatientWriter
from nanochat_framework.runs.status import read_status

Kind = Literal[
    "started",
    "resumed",
    "checkpoint",
    "evaluation",
    "sampled",
    "skipped_step",
    "steps_fixed",
    "alert",
    "acknowledged",
    "set",
    "tracker_error",
    "callback_error",
    "plugin_error",
    "stopped",
    "finished",
    "failed",
]
KINDS: tuple[str, ...] = typing.get_args(Kind)


class EventLog:
    """Writes events.jsonl; each event is on the disk, power cuts included, when `write` returns.

    `listener` is called with every event after it is written.
    """

    def __init__(self, path: Path, attempt: int, outage: Outage | None = None) -> None:
        self._writer = JsonLinesWriter(path, sync=True) if outage is None else PatientWriter(path, outage, sync=True)
        self.attempt = attempt
        self.listener: Callable[[Record], None] = nobody
        self._one_at_a_time = threading.Lock()

    def write(self, kind: Kind, **facts: Any) -> None:
        """Append one event, from any thread. Without an `outage` raises DiskFull or OSError."""
        assert kind in KINDS, kind
        event = {"time": time.time(), "attempt": self.attempt, "kind": kind, **facts}
        with self._one_at_a_time:
            self._writer.write(event)
        self.listener(event)

    def sync(self) -> None:
        """See that all events so far are durable. Raises DiskFull or OSError."""
        self._writer.sync()

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._writer.close()


def is_count(value: object) -> TypeGuard[int]:
    """Whether a value read from a file can be an attempt or a step."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def rewinds(events: Iterable[Mapping[str, Any]]) -> Iterator[tuple[int, int]]:
    """(attempt, step that it goes on from) of every attempt that the events open, in their order."""
    for event in events:
        attempt, step = event.get("attempt"), event.get("rewound_to", 0)
        if event.get("kind") in ("started", "resumed") and is_count(attempt) and is_count(step):
            yield attempt, step


def next_attempt(run: RunDirectory) -> int:
    """The number of the attempt that begins now: one more than any that left a trace, 1 in a new run."""
    status, metric = read_status(run.status), last(run.metrics) or {}
    seen = [event.get("attempt") for event in read(run.events)]
    seen += [metric.get("attempt"), status.attempt if status else 0]
    return 1 + max(filter(is_count, seen), default=0)


def begin_attempt(path: Path, step: int, outage: Outage | None = None) -> EventLog:
    """Open the next attempt of the run whose events.jsonl this is; the caller holds the run's lock.

    Torn last lines that a crash left in the run's files are cut off, and the first event is written: `started`, or
    `resumed` with the step (0: from scratch) that it goes on from. From then on, readers take whatever
    earlier attempts logged beyond that step as not having happened. Later events wait out an `outage`. Raises DiskFull
    or OSError.
    """
    run = RunDirectory(path.parent)
    for file in (run.metrics, path, run.samples):
        heal(file)
    attempt = next_attempt(run)
    log = EventLog(path, attempt, outage)
    log.write("started" if attempt == 1 else "resumed", rewound_to=step)
    log.sync()
    return log
