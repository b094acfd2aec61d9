"""Hands a run's records to its trackers, each in a thread of its own, so that none can slow or stop a training.

A tracker that is slower than the training loses its oldest records, which are counted; one that fails is reported, and
after `MAX_ERRORS` errors it is switched off. At the end they have `FLUSH_SECONDS` together to write what is left.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nanochat_framework.contracts.tracker import TrackedRun, Tracker

QUEUE_LIMIT = 2000
"""Records that wait for a tracker at most."""
MAX_ERRORS = 3
RETRY_SECONDS = 2.0
"""Between two tries to open a tracker."""
FLUSH_SECONDS, HURRIED_SECONDS = 20.0, 2.0
Report = Callable[..., None]
"""Takes (tracker name, error) and whether the tracker is `switched_off`."""


class TrackerThread:
    """One tracker with its queue. `put` never waits and never raises."""

    def __init__(
        self,
        name: str,
        tracker: Tracker,
        run: TrackedRun,
        config: Mapping[str, Any],
        report: Report,
        *,
        queue_limit: int = QUEUE_LIMIT,
    ) -> None:
        self.name, self.dropped, self.switched_off = name, 0, False
        self._tracker, self._run, self._config, self._report = tracker, run, config, report
        self._queue: deque[tuple[str, tuple[Any, ...]]] = deque()
        self._limit, self._errors, self._closing = queue_limit, 0, False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name=f"tracker-{name}", daemon=True)
        self._thread.start()

    def put(self, method: str, *arguments: Any) -> None:
        """Have a method called soon; the oldest call that waits is given up where the queue is full."""
        with self._changed:
            if self.switched_off or self._closing:
                return
            if len(self._queue) >= self._limit:
                self._queue.popleft()
                self.dropped += 1
            self._queue.append((method, arguments))
            self._changed.notify()

    def begin_close(self) -> None:
        """Take nothing more; what waits is still written."""
        with self._changed:
            self._closing = True
            self._changed.notify()

    def wait(self, seconds: float) -> int:
        """Wait for the end, that long at most; how many calls are left that nobody will see through."""
        self._thread.join(max(seconds, 0.0))
        with self._changed:
            left = len(self._queue) + self._thread.is_alive()
            self._queue.clear()
        return left

    def _work(self) -> None:
        opened = False
        while not opened and not self.switched_off:
            opened = self._try("open", self._run, self._config)
            if not opened and not self.switched_off:
                with self._changed:
                    self._changed.wait_for(lambda: self._closing, RETRY_SECONDS)
        while not self.switched_off:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._closing)
                if not self._queue:
                    break
                method, arguments = self._queue.popleft()
            self._try(method, *arguments)
        self._try("close")

    def _try(self, method: str, *arguments: Any) -> bool:
        """Call a method; whether it went well. A stranger's code may raise anything, SystemExit included."""
        try:
            getattr(self._tracker, method)(*arguments)
        except BaseException as error:
            with self._changed:
                self._errors += 1
                off = self._errors >= MAX_ERRORS and not self.switched_off
                self.switched_off = self.switched_off or off
                if off:
                    self._queue.clear()
            self._report(self.name, error, switched_off=off)
            return False
        return True


class Trackers:
    """All trackers of a run. What is handed in must not be changed afterwards."""

    def __init__(
        self, trackers: Sequence[tuple[str, Tracker]], run: TrackedRun, config: Mapping[str, Any], report: Report
    ) -> None:
        self._threads = [TrackerThread(name, tracker, run, config, report) for name, tracker in trackers]

    def metrics(self, record: Mapping[str, Any]) -> None:
        """Pass a metrics record on."""
        self._put("metrics", record["step"], record)

    def event(self, event: Mapping[str, Any]) -> None:
        """Pass an event on."""
        self._put("event", event)

    def samples(self, step: int, samples: Sequence[Mapping[str, Any]]) -> None:
        """Pass texts on."""
        self._put("samples", step, samples)

    def _put(self, method: str, *arguments: Any) -> None:
        for thread in self._threads:
            thread.put(method, *arguments)

    def close(self, seconds: float = FLUSH_SECONDS) -> None:
        """Let every tracker write what waits, that long at most, and say what was lost. May be called twice."""
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.begin_close()
        for thread in self._threads:
            left = thread.wait(deadline - time.monotonic())
            if thread.switched_off:
                continue
            if left:
                print(f"tracker {thread.name}: {left} records were not written within {seconds:g} s", file=sys.stderr)
            if thread.dropped:
                print(f"tracker {thread.name}: was too slow for {thread.dropped} records", file=sys.stderr)
        self._threads = []
