"""Runs one after another, without a daemon: a queued run is a process that waits until the runs before it have ended.

Its status says `queued`, with its own pid and, in `waits_for`, the names of the runs that are still before it. It answers `stop`
as a training does, and every other request with a refusal (`set` waits for its start). How a run before it ends does not
matter: finished, failed, stopped, killed or removed, it is over, and is not waited for again.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from nanochat_framework.errors import NanochatError, StoppedOnRequest, UsageError, first_line
from nanochat_framework.runs.control import ControlInbox, Refused, Request, answered, parse
from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.events import EventLog
from nanochat_framework.runs.jsonlines import Record, read
from nanochat_framework.runs.lock import hold_soon
from nanochat_framework.runs.status import (
    HEARTBEAT_LIMIT_S,
    LIVE_STATES,
    Status,
    StatusFile,
    liveness,
    on_this_machine,
    read_status,
)

POLL_SECONDS = 0.5
LOCK_SECONDS = 30.0
"""How long to wait for somebody else who is joining the same queue."""


def present(runs_dir: Path) -> list[RunDirectory]:
    """The runs of a folder that train on this machine or wait for their turn, the longest queue behind the others."""
    found = []
    for run in RunDirectory.all(runs_dir):
        status = read_status(run.status)
        if status is not None and status.pid is not None and on_this_machine(status) and _is_there(status):
            found.append((len(status.waits_for), run.name, run))
    return [run for _, _, run in sorted(found, key=lambda each: each[:2])]


def checked(before: Sequence[RunDirectory], name: str | None = None) -> None:
    """Raises UsageError for a run that nobody could wait for: not started, or itself waiting for the run `name`."""
    for run in before:
        status = read_status(run.status)
        if liveness(status) == "queued" and status is not None and status.pid is None:
            raise UsageError(f"--after {run.name}: it was prepared and not started; `nanochat resume {run.path}` does")
        if name is not None and (name == run.name or (_is_there(status) and status and name in status.waits_for)):
            raise UsageError(f"--after {run.name}: it would wait for itself")


@contextmanager
def joining(runs_dir: Path) -> Iterator[None]:
    """Nobody else joins the queue of a folder while the block runs. Raises UsageError if somebody takes too long."""
    runs_dir.mkdir(parents=True, exist_ok=True)
    with hold_soon(runs_dir / ".queue.lock", doing="joining the queue", seconds=LOCK_SECONDS):
        yield


def announce(run: RunDirectory, **facts: Any) -> None:
    """Say in the run's status that it is to wait, so that who joins the queue next counts it; `facts` are further ones.

    Whom it waits for is told by the process that waits: until then nobody answers requests. Raises UsageError if somebody
    else holds the run.
    """
    with run.lock():
        StatusFile(run.status).update(state="queued", waits_for=(), error=None, **facts)


def wait_for_turn(run: RunDirectory, before: Sequence[RunDirectory]) -> None:
    """Hold the run, `queued`, until none of the runs before it is there any more; then it is `starting`.

    Raises StoppedOnRequest if it is told to stop first (by a request or a signal), UsageError if somebody else holds it,
    NanochatError if its folder goes.
    """
    with run.lock(), _signals() as signalled:
        waiting = _Waiting(run, before)
        try:
            waiting.until_free(signalled)
        finally:
            waiting.close()


@contextmanager
def in_turn(run: RunDirectory, before: Sequence[RunDirectory]) -> Iterator[None]:
    """The block, when it is the run's turn. What keeps the training from beginning there is told in the run's status.

    Raises as `wait_for_turn` does.
    """
    wait_for_turn(run, before)
    try:
        yield
    except NanochatError as error:
        status = StatusFile(run.status)
        if status.status.state == "starting":  # nobody is at the terminal any more who could read it there
            status.update(state="failed", error=first_line(error))
        raise


class _Waiting:
    """A run in the queue."""

    def __init__(self, run: RunDirectory, before: Sequence[RunDirectory]) -> None:
        self.run = run
        self._before = list(before)
        self._unreadable_since: dict[RunDirectory, float] = {}
        self._inbox = ControlInbox(run.control, answered(read(run.events)))
        self._status = StatusFile(run.status)
        self._names: tuple[str, ...] = ()
        self._look()
        self._status.update(state="queued", waits_for=self._names, error=None)
        self._status.start_heart()

    def close(self) -> None:
        self._status.stop_heart()

    def until_free(self, signalled: list[int]) -> None:
        self._say()
        while self._before:
            if signalled:
                raise self._stop(f"signal {signal.Signals(signalled[0]).name}")
            for record in self._inbox.poll():
                self._answer(record)
            time.sleep(POLL_SECONDS)
            if not self.run.run_json.exists():
                raise NanochatError(f"{self.run.path}: the folder is gone")
            self._look()
            if self._names != tuple(self._status.status.waits_for):
                self._status.update(waits_for=self._names)
                self._say()
        self._status.update(state="starting", waits_for=())

    def _say(self) -> None:
        if self._names:
            print(f"{self.run.name} waits for {', '.join(self._names)}", file=sys.stderr, flush=True)

    def _look(self) -> None:
        """Leave out who has ended, and name who is left: with those that they wait for in their turn."""
        names: list[str] = []
        left = []
        for run in self._before:
            status = read_status(run.status)
            if not (_is_there(status) or (status is None and self._may_come_back(run))):
                continue
            left.append(run)
            names += [*(status.waits_for if status else ()), run.name]
        self._before = left
        self._names = tuple(dict.fromkeys(name for name in names if name != self.run.name))

    def _may_come_back(self, run: RunDirectory) -> bool:
        """Whether a run without a readable status may be one that begins, or a file system that stumbles."""
        since = self._unreadable_since.setdefault(run, time.monotonic())
        return run.run_json.exists() and time.monotonic() - since < HEARTBEAT_LIMIT_S

    def _answer(self, record: Record) -> None:
        """`stop` ends the wait, `set` is left to the training, anything else is refused."""
        try:
            request = parse(record)
            if request.command == "set":
                return
            if request.command != "stop":
                raise Refused(f"{request.command}: {self.run.name} has not begun; it waits for {self._names[-1]}")
        except Refused as error:
            head = {key: record.get(key) for key in ("id", "command", "by")}
            self._write("acknowledged", **head, answer="refused", reason=str(error))
            return
        raise self._stop(f"stop of {request.sender}", request)

    def _stop(self, reason: str, request: Request | None = None) -> StoppedOnRequest:
        if request is not None:
            head = {"id": request.id, "command": request.command, "by": dict(request.by)}
            self._write("acknowledged", **head, answer="done")
        self._write("stopped", reason=reason)
        self._status.update(state="stopped", waits_for=())  # last: whoever asked looks for the answer until then
        return StoppedOnRequest(
            f"{self.run.name}: taken out of the queue by {reason}; `nanochat resume {self.run.path}` starts it"
        )

    def _write(self, kind: str, **facts: object) -> None:
        status = self._status.status
        log = EventLog(self.run.events, status.attempt)
        try:
            log.write(kind, step=status.step, **facts)  # type: ignore[arg-type]
        finally:
            log.close()


def _is_there(status: Status | None) -> bool:
    """Whether a run trains, or will without anybody's doing."""
    return liveness(status) in (*LIVE_STATES, "queued")


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Numbers of the signals that ask to end, instead of an end in the middle of something."""
    heard: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield heard
        return

    def hear(number: int, frame: FrameType | None) -> None:
        heard.append(number)

    before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield heard
    finally:
        for number, handler in before.items():
            with contextlib.suppress(TypeError):  # a handler that Python did not set
                signal.signal(number, handler)
