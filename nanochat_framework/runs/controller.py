"""A controller's side: ask something of a training, and wait until events.jsonl says what became of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from nanochat_framework.runs.control import Request, send
from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.jsonlines import TailReader
from nanochat_framework.runs.status import listens, liveness, read_status

POLL_SECONDS = 0.05
ANSWER_KEYS = ("time", "attempt", "kind", "id", "command", "by", "answer", "reason")
"""Keys of an `acknowledged` event that are not facts of the answer."""


@dataclass(frozen=True)
class Outcome:
    """What became of a request.

    `verdict` is `refused`, `done` or `failed` as the training said; `ended` if the run ended before it said so,
    `unanswered` if the time was over. `accepted` tells whether it had begun. `reason` goes with refused, failed and
    ended, `facts` (checkpoint, scores, ...) with done.
    """

    verdict: Literal["refused", "done", "failed", "ended", "unanswered"]
    accepted: bool = False
    reason: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


class PendingRequest:
    """A request that was sent; `poll` asks whether it was answered. For loops of one's own; `wait` is one."""

    def __init__(self, run: RunDirectory, request: Request) -> None:
        """Send it. Raises DiskFull or OSError."""
        self.run, self.request, self.accepted = run, request, False
        self._events = TailReader(run.events)
        self._events.skip()
        send(run, request)

    def poll(self) -> Outcome | None:
        """The outcome; None while there is none. Raises OSError."""
        live = listens(read_status(self.run.status))  # asked first: the answer may come before the end
        outcome = self._read()
        if outcome is not None or live:
            return outcome
        state = liveness(read_status(self.run.status))
        return Outcome("ended", self.accepted, f"the run is {state}")

    def _read(self) -> Outcome | None:
        while True:
            batch = self._events.poll()
            for event in batch.records:
                if event.get("kind") != "acknowledged" or event.get("id") != self.request.id:
                    continue
                answer = event.get("answer")
                if answer in ("refused", "done", "failed"):
                    facts = {key: value for key, value in event.items() if key not in ANSWER_KEYS}
                    return Outcome(answer, self.accepted, str(event.get("reason", "")), facts)
                self.accepted = True
            if not batch.more:
                return None

    def wait(self, timeout: float) -> Outcome:
        """Wait for the outcome, `timeout` seconds at most. Raises OSError."""
        deadline = time.monotonic() + timeout
        while (outcome := self.poll()) is None:
            left = deadline - time.monotonic()
            if left <= 0:
                return Outcome("unanswered", self.accepted)
            time.sleep(min(POLL_SECONDS, left))
        return outcome
