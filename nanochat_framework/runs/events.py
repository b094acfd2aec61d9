"""Events of a run: starts and resumes, checkpoints, evaluations, skipped steps, ends."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nanochat_framework.runs.jsonlines import JsonLinesWriter, read


class EventLog:
    """Writes events.jsonl: `{"time", "attempt", "kind", ...}`."""

    def __init__(self, path: Path, attempt: int) -> None:
        self._writer = JsonLinesWriter(path)
        self.attempt = attempt

    def write(self, kind: str, **facts: Any) -> None:
        """Append one event."""
        self._writer.write({"time": time.time(), "attempt": self.attempt, "kind": kind, **facts})


def attempts(path: Path) -> Iterator[tuple[int, int]]:
    """(attempt, step it began after) of every start so far; 0 for a start from scratch."""
    for event in read(path):
        if event.get("kind") in ("started", "resumed"):
            yield int(event["attempt"]), int(event.get("rewound_to", 0))


def begin_attempt(path: Path, step: int) -> EventLog:
    """Open the log for the next attempt and write its first event: `started`, or `resumed` with the step it goes on from."""
    earlier = [attempt for attempt, _ in attempts(path)]
    log = EventLog(path, max(earlier, default=0) + 1)
    if earlier:
        log.write("resumed", rewound_to=step)
    else:
        log.write("started", rewound_to=step)
    return log
