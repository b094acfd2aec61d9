"""status.json: what a run is doing now, replaced atomically, and whether its process is still alive."""

from __future__ import annotations

import json
import math
import os
import threading
import time
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from nanochat_framework.runs.atomic import DiskFull, write_atomic
from nanochat_framework.runs.jsonlines import is_number, number, plain
from nanochat_framework.runs.outage import Outage
from nanochat_framework.runs.process import boot_id, host_name, is_alive, pid_namespace, start_time

State = Literal["queued", "starting", "running", "paused", "stopping", "stopped", "released", "finished", "failed"]
LATEST = ("train/loss", "train/grad_norm", "train/tokens_per_second", "eval/loss", "eval/bits_per_byte")
"""Metrics that a status carries."""
STATES: tuple[str, ...] = typing.get_args(State)
LIVE_STATES = frozenset({"starting", "running", "paused", "stopping"})
"""States that only a living process can be in."""
HEARTBEAT_EVERY_S = 10.0
HEARTBEAT_LIMIT_S = 120.0
"""A run whose process cannot be looked at is lost when its heartbeat is older than this."""


@dataclass(frozen=True)
class Status:
    """What a run is doing. Times are in seconds since 1970; `step` and `tokens` count what is done."""

    state: State = "queued"
    pid: int | None = None
    pid_start_time: int | None = None
    """Clock ticks since boot; tells a reused pid apart. None where the system does not say."""
    pid_namespace: str | None = None
    host: str | None = None
    boot_id: str | None = None
    """Which machine since which boot; tells hosts of one name apart."""
    attempt: int = 0
    step: int = 0
    total_steps: int = 0
    tokens: int = 0
    heartbeat: float = 0.0
    latest_checkpoint: str | None = None
    error: str | None = None
    waits_for: Sequence[str] = ()
    """Of a queued run: names of the runs that come before it, those that they wait for among them; see `runs.queue`."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """The newest value of some metrics, for listings; see `LATEST`."""

    def here(self, **facts: Any) -> Status:
        """The same with some facts changed, as said by this process, now."""
        pid = os.getpid()
        return replace(
            self,
            **{
                "pid": pid,
                "pid_start_time": start_time(pid),
                "pid_namespace": pid_namespace(),
                "host": host_name(),
                "boot_id": boot_id(),
                "heartbeat": time.time(),
                **facts,
            },
        )


class StatusFile:
    """The writer's side: one process at a time, the one that holds the run's lock; any of its threads."""

    def __init__(self, path: Path, outage: Outage | None = None) -> None:
        self.path, self._outage = path, outage
        self.status = read_status(path) or Status()
        self._one_at_a_time = threading.Lock()
        self._heart: threading.Thread | None = None
        self._still = threading.Event()

    def start_heart(self, seconds: float = HEARTBEAT_EVERY_S) -> None:
        """Renew the heartbeat that often, however long a step takes, until `stop_heart`."""
        assert self._heart is None, "it beats already"
        self._still.clear()
        self._heart = threading.Thread(target=self._beat, args=(seconds,), name="heartbeat", daemon=True)
        self._heart.start()

    def stop_heart(self) -> None:
        """No more heartbeats; may be called twice, and where there were none."""
        if self._heart is not None:
            self._still.set()
            self._heart.join()
            self._heart = None

    def _beat(self, seconds: float) -> None:
        while not self._still.wait(seconds):
            if time.time() - self.status.heartbeat >= seconds / 2:
                self.update()

    def update(self, **facts: Any) -> None:
        """Change some facts; process, host and heartbeat come by themselves.

        A file that cannot be written is passed over, and told to the `outage`: a status that is late must not end a
        training (its heartbeat tells the age), and whatever has to be kept reports the failure itself.
        """
        with self._one_at_a_time:
            before, self.status = self.status, self.status.here(**facts)
            assert self.status.state in STATES, self.status.state
            data = json.dumps(plain(asdict(self.status)), indent=1, allow_nan=False).encode() + b"\n"
            error: Exception | None = None
            try:
                write_atomic(self.path, data, sync=self.status.state != before.state)
            except (OSError, DiskFull) as raised:
                error = raised
        if self._outage is not None:
            self._outage.works(self.path) if error is None else self._outage.failed(self.path, error)


def read_status(path: Path) -> Status | None:
    """The status, or None if there is none, or it is unreadable or of a kind that this version does not know.

    Facts that this version does not know are passed over.
    """
    try:
        facts = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(facts, dict):
        return None
    known = {name: facts[name] for name in _TYPES if name in facts}
    if known.get("state") not in STATES or not all(isinstance(v, _TYPES[k]) for k, v in known.items()):
        return None
    numbers = [value for value in known.values() if isinstance(value, int | float)]
    if not all(is_number(value) and math.isfinite(value) for value in numbers):
        return None
    known["waits_for"] = tuple(name for name in known.get("waits_for", ()) if isinstance(name, str))
    known["metrics"] = dict(_numbers(known.get("metrics", {})))
    return Status(**known)


def _numbers(metrics: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in metrics.items():
        value = number(value)
        if is_number(value):
            yield name, value


def _accepted_types() -> dict[str, tuple[type, ...]]:
    """Field by field, the types that its JSON value may have."""
    none, text, whole = type(None), (str,), (int,)
    types: dict[str, tuple[type, ...]] = {"int": whole, "int | None": (*whole, none), "str | None": (*text, none)}
    types |= {"State": text, "float": (int, float), "Mapping[str, float]": (dict,), "Sequence[str]": (list,)}
    return {field.name: types[str(field.type)] for field in fields(Status)}


_TYPES = _accepted_types()


def liveness(status: Status | None, now: float | None = None) -> State | Literal["lost", "unknown"]:
    """The state to show: `lost` for a run that says it is live and is not, `unknown` without a status.

    On the machine that wrote the status its process is looked at: it must exist and have started when it says. From
    anywhere else (another host, another container) a heartbeat older than `HEARTBEAT_LIMIT_S` means lost. `now` is
    in seconds since 1970.
    """
    if status is None:
        return "unknown"
    waits_for_nobody = status.state == "queued" and status.pid is None
    if waits_for_nobody or status.state not in (*LIVE_STATES, "queued"):
        return status.state
    alive = None
    if status.pid is not None and written_here(status):
        alive = is_alive(status.pid, status.pid_start_time)
    if alive is None:
        alive = (time.time() if now is None else now) - status.heartbeat <= HEARTBEAT_LIMIT_S
    return status.state if alive else "lost"


def listens(status: Status | None) -> bool:
    """Whether somebody answers requests: the run is live, or a process waits in the queue with it."""
    state = liveness(status)
    return state in LIVE_STATES or (state == "queued" and status is not None and bool(status.waits_for))


def on_this_machine(status: Status) -> bool:
    """Whether the status was written on this machine, since its boot; in whichever container."""
    return boot_id() == status.boot_id if boot_id() and status.boot_id else host_name() == status.host


def written_here(status: Status) -> bool:
    """Whether the status is of this machine (since its boot), and of this table of pids."""
    return on_this_machine(status) and status.pid_namespace == pid_namespace()


def heartbeat_age(status: Status | None, now: float | None = None) -> str:
    """How long ago the trainer last said something, for people: `3 s`, `12 min`, `5 h`, `2 days`."""
    if status is None or not status.heartbeat:
        return "unknown"
    return age((time.time() if now is None else now) - status.heartbeat)


def age(seconds: float) -> str:
    """A length of time in its largest unit: `3 s`, `12 min`, `5 h`, `2 days`; 0 for one that clocks make negative."""
    for unit, length in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0.0):.0f} s"
