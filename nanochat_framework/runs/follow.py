"""Following a run's metrics while it trains, through resumes and rewinds, without reading anything twice."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.events import is_count, rewinds
from nanochat_framework.runs.jsonlines import Record, TailReader, number


@dataclass(frozen=True)
class Update:
    """What is new. To be applied in this order: if `restarted`, forget everything; if `rewound_to` is not None, forget what
    is beyond that step; then take the records in, of which several may belong to one step: their keys are merged.
    """

    records: list[Record]
    rewound_to: int | None
    restarted: bool
    more: bool
    """There is more to read at once."""


class MetricsFollower:
    """Follows metrics.jsonl by the attempt rule of `runs.metrics`; holds no records itself.

    What its updates come to is what `read_metrics` gives. (A run whose opening event of an attempt was lost is the
    exception: there `read_metrics` guesses.)
    """

    def __init__(self, run: RunDirectory) -> None:
        self.run = run
        self._metrics, self._events = TailReader(run.metrics), TailReader(run.events)
        self._opened: dict[int, int] = {}

    def poll(self, max_bytes: int = 1 << 22) -> Update:
        """What is new, from about `max_bytes` bytes of records at most. Raises OSError."""
        batch = self._metrics.poll(max_bytes)  # first: the event of an attempt is on the disk before its records
        rewound_to, again = self._read_events()
        if again:
            self._metrics, self._events, self._opened = TailReader(self.run.metrics), TailReader(self.run.events), {}
            batch = self._metrics.poll(max_bytes)
            self._read_events()
            rewound_to = None
        records = [
            {key: number(value) if value.__class__ is str else value for key, value in record.items()}
            for record in self._counting(batch.records)
        ]
        return Update(records, rewound_to, restarted=again or batch.restarted, more=batch.more)

    def _read_events(self) -> tuple[int | None, bool]:
        """The lowest step that a new attempt goes on from, and whether the file is another one than before."""
        lowest: int | None = None
        while True:
            batch = self._events.poll()
            if batch.restarted:
                return None, True
            for attempt, step in rewinds(batch.records):
                self._opened[attempt] = step
                lowest = step if lowest is None else min(lowest, step)
            if not batch.more:
                return lowest, False

    def _counting(self, records: list[Record]) -> Iterator[Record]:
        """Those that count by the attempts that are known."""
        limits: dict[int, float] = {}
        for record in records:
            attempt, step = record.get("attempt"), record.get("step")
            if not is_count(attempt) or not is_count(step):
                continue
            if attempt not in limits:
                limits[attempt] = min((at for later, at in self._opened.items() if later > attempt), default=math.inf)
            if step <= limits[attempt]:
                yield record
