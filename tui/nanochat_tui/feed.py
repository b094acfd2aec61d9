"""What a run's folder says, read as it grows: metrics as series, by the attempt rule; samples, events, log and status."""

from __future__ import annotations

import os
import time
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.events import is_count, rewinds
from nanochat_framework.runs.jsonlines import LineTail, Record, TailReader, is_number, number
from nanochat_framework.runs.metrics import KEYS
from nanochat_framework.runs.summary import RunSummary, again, summarize
from nanochat_tui.charts.series import Axis, Places, Series
from nanochat_tui.formats import clock

CHUNK_BYTES = 1 << 17
"""So much is read at a time, so that the screen answers while a long file is read."""
LARGEST = 2**50
"""No step, number of tokens or time is greater; halves are still told apart there."""
KEPT_LINES = 5000
"""Lines of the log that are kept, the newest."""


class MetricStore:
    """Every metric of a run as a series, by the attempt rule (`nanochat_framework.runs.metrics`).

    `opened` is called with (attempt, step it goes on from) as events tell it, `feed` with records in the file's order.
    """

    def __init__(self) -> None:
        self.series: dict[str, Series] = {}
        self.began: float | None = None
        """When the first record was written; the time axis counts from there."""
        self._begins: dict[int, int] = {}
        self._places = Places()
        """Of records; metrics that are in every one share them."""

    def opened(self, attempt: int, step: int) -> None:
        """An attempt goes on from a step: what earlier ones recorded beyond it did not happen."""
        if self._begins.get(attempt) == step:
            return
        self._begins[attempt] = step
        for series in self.series.values():
            series.rewind(step)
        self._places.cut(bisect_right(self._places.of["step"], step))

    def knows(self, attempt: Any) -> bool:
        """Whether the event that opened an attempt was read."""
        return attempt in self._begins

    def feed(self, records: Iterable[Record]) -> None:
        """Take in records; one of an attempt whose event is lost opens it at the step before its own."""
        for record in records:
            attempt, step = record.get("attempt"), record.get("step")
            if not is_count(attempt) or not is_count(step) or step > LARGEST:
                continue
            if attempt not in self._begins:
                self.opened(attempt, step - 1)
            if all(step <= begins for later, begins in self._begins.items() if later > attempt):
                self._put(step, record)

    def _put(self, step: int, record: Record) -> None:
        seconds, tokens = _finite(record.get("time")), _finite(record.get("tokens"))
        if self.began is None:
            self.began = seconds
        values = {}
        for name, value in record.items():
            value = number(value)
            if name not in KEYS and is_number(value):
                values[name] = float(value)
        self._share(values, step, tokens, seconds - self.began)

    def _share(self, values: Mapping[str, float], step: int, tokens: float, seconds: float) -> None:
        """Add a point to each metric; those that were in every record so far share its place."""
        steps = self._places.of["step"]
        first, further = not steps, not steps or step > steps[-1]
        if further:
            self._places.append(step, tokens, seconds)
            for name, series in self.series.items():
                if series.shares and name not in values:
                    series.part()
        for name, value in values.items():
            if name not in self.series:
                self.series[name] = Series(self._places if first else None)
            series = self.series[name]
            if further and series.shares:
                series.put_last(value)
            else:
                series.put(step, tokens, seconds, value)

    def span(self, axis: Axis) -> tuple[float, float] | None:
        """From the first to the last point of all metrics, so that all charts have one axis."""
        places = [series.places[axis] for series in self.series.values() if len(series)]
        return (min(p[0] for p in places), max(p[-1] for p in places)) if places else None

    @property
    def version(self) -> int:
        """Rises with every change."""
        return sum(series.version for series in self.series.values())


def _finite(value: Any) -> float:
    """A place on an axis; 0 for what can be none."""
    return float(value) if isinstance(value, int | float) and abs(value) <= LARGEST else 0.0


class RunFeed:
    """Reads a run's files from where it stopped; `poll` does a little at a time."""

    def __init__(self, run: RunDirectory) -> None:
        self.run = run
        self.summary: RunSummary = summarize(run)
        self.store = MetricStore()
        self.events: list[Record] = []
        self.samples: list[Record] = []
        self.log: list[str] = []
        self.version = 0
        """Rises with every change of a file or of the run's state."""
        self.log_version = 0
        """Rises with every line of the log."""
        self._metrics, self._events = TailReader(run.metrics), TailReader(run.events)
        self._samples, self._log = TailReader(run.samples), LineTail(run.train_log)
        self._sizes: dict[Path, tuple[int, int, int]] = {}

    def poll(self) -> bool:
        """Read what is new, CHUNK_BYTES of a file at most; whether there is more at once. Raises OSError."""
        if self._changed(self.run.status) or self.run.alias != self.summary.alias:
            self.summary = summarize(self.run)
            self.version += 1
        elif (now := again(self.summary, time.time())) != self.summary:
            self.summary = now
            self.version += 1
        more = self._read_events()
        more |= self._read_metrics()
        more |= self._read_samples()
        return more | self._read_log()

    def _changed(self, path: Path) -> bool:
        """Whether a file is another or a longer one than at the last look, or was not read to its end."""
        try:
            facts = os.stat(path)
        except OSError:
            return False
        mark = (facts.st_ino, facts.st_size, facts.st_mtime_ns)
        if self._sizes.get(path) == mark:
            return False
        self._sizes[path] = mark
        self.version += 1
        return True

    def _read_events(self) -> bool:
        if not self._changed(self.run.events):
            return False
        batch = self._events.poll(CHUNK_BYTES)
        if batch.restarted:
            self.events = []
        self.events += batch.records
        for attempt, step in rewinds(batch.records):
            self.store.opened(attempt, step)
        return self._unfinished(self.run.events, batch.more)

    def _read_metrics(self) -> bool:
        if self.run.events in self._sizes and self._sizes[self.run.events] == _UNREAD:
            return True  # events say which records count
        if not self._changed(self.run.metrics):
            return False
        batch = self._metrics.poll(CHUNK_BYTES)
        if batch.restarted:
            self.store = MetricStore()
            for attempt, step in rewinds(self.events):
                self.store.opened(attempt, step)
        if not all(self.store.knows(record.get("attempt")) for record in batch.records):
            self._read_events()  # the attempt began between the two looks
        self.store.feed(batch.records)
        return self._unfinished(self.run.metrics, batch.more)

    def _read_samples(self) -> bool:
        if not self._changed(self.run.samples):
            return False
        batch = self._samples.poll(CHUNK_BYTES)
        self.samples = [] if batch.restarted else self.samples
        self.samples += batch.records
        return self._unfinished(self.run.samples, batch.more)

    def _read_log(self) -> bool:
        if not self._changed(self.run.train_log):
            return False
        lines, restarted, more = self._log.lines(CHUNK_BYTES)
        self.log = [] if restarted else self.log
        self.log += [line.decode("utf-8", "replace") for line in lines]
        del self.log[:-KEPT_LINES]
        self.log_version += len(lines) + restarted
        return self._unfinished(self.run.train_log, more)

    def _unfinished(self, path: Path, more: bool) -> bool:
        if more:
            self._sizes[path] = _UNREAD
        return more


_UNREAD = (-1, -1, -1)


def event_line(event: Mapping[str, Any]) -> str:
    """An event as a line: when, after which step, what, and its facts."""
    kind = str(event.get("kind"))
    sign = {"alert": "! ", "failed": "✗ ", "finished": "✓ "}.get(kind, "")
    rest = {
        k: v for k, v in event.items() if k not in ("time", "attempt", "kind", "step", "id", "by") and v is not None
    }
    facts = "  ".join(f"{key} {_fact(value)}" for key, value in rest.items())
    return f"{clock(event.get('time'))}  {event.get('step', '')!s:>8}  {sign}{kind:<13} {facts}".rstrip()


def _fact(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, Mapping):
        return " ".join(f"{key}={_fact(item)}" for key, item in value.items())
    return " ".join(str(value).split())
