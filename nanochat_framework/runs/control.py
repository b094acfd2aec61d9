"""control.jsonl: what controllers ask of a training, and how they learn what became of it.

A request is one line that anybody who may write in the run's folder appends:

    {"id": "5f0c...", "time": 1763733000.1, "by": {"host": "desk", "pid": 4711}, "command": "pause", "arguments": {}}

The training looks at the file's size after every step and answers each request in events.jsonl under its id: `refused` with a
`reason`, or `accepted` and later `done` or `failed`. docs/runs.md has the protocol in full.
"""

from __future__ import annotations

import math
import os
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from nanochat_framework.errors import UsageError
from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.events import is_count
from nanochat_framework.runs.jsonlines import JsonLinesWriter, Record, TailReader
from nanochat_framework.runs.process import host_name

COMMANDS: dict[str, str] = {
    "pause": "hold after the present step, keeping everything in memory; with `release` checkpoint and end",
    "unpause": "go on after a pause",
    "stop": "checkpoint after the present step and end; `nanochat resume` goes on",
    "checkpoint": "write a checkpoint after the present step",
    "eval": "evaluate on held-out data after the present step",
    "sample": "write the texts of [sample] after the present step",
    "set": "change settings from the next step on",
}
"""Command -> what it asks for."""


class Refused(UsageError):
    """A request that cannot be met; the message says why."""


@dataclass(frozen=True)
class Setting:
    """A setting that may change while a run trains. `whole`: an integer; `least`: the smallest value."""

    whole: bool
    least: float
    summary: str


SETTABLE: dict[str, Setting] = {
    "lr_scale": Setting(False, 0.0, "factor of every learning rate beside its schedule; 1 at the start"),
    "train.log_every": Setting(True, 1, "steps between metrics records"),
    "checkpoint.every": Setting(True, 1, "steps between checkpoints"),
    "eval.every": Setting(True, 0, "steps between evaluations; 0 turns them off"),
}
"""Key -> what `set` may change. lr_scale is no key of the configuration; the others are."""


def checked_settings(values: Mapping[str, Any]) -> dict[str, float]:
    """The arguments of `set`, by key. Raises Refused for a key that may not be set and for a value out of range."""
    if not values:
        raise Refused(f"set: nothing to set; what may be set: {', '.join(SETTABLE)}")
    return {key: _checked(key, value) for key, value in values.items()}


def _checked(key: str, value: Any) -> float:
    setting = SETTABLE.get(key)
    if setting is None:
        raise Refused(f"set: {key} cannot change while a run trains; what may be set: {', '.join(SETTABLE)}")
    kinds = int if setting.whole else (int, float)
    fits = isinstance(value, kinds) and not isinstance(value, bool) and math.isfinite(value) and value >= setting.least
    if not fits:
        kind = "a whole number" if setting.whole else "a number"
        raise Refused(f"set: {key} must be {kind} of at least {setting.least:g}, not {value!r}")
    return value if setting.whole else float(value)


@dataclass(frozen=True)
class Request:
    """One thing asked of a training. `by` says who asks: `host` and `pid`, and what else the controller tells."""

    command: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    time: float = field(default_factory=time.time)
    by: Mapping[str, Any] = field(default_factory=lambda: {"host": host_name(), "pid": os.getpid()})

    def to_record(self) -> Record:
        """The line of control.jsonl."""
        facts = {"id": self.id, "time": self.time, "by": dict(self.by)}
        return {**facts, "command": self.command, "arguments": dict(self.arguments)}

    @property
    def sender(self) -> str:
        """Who asks, for people."""
        pid, host = self.by.get("pid"), self.by.get("host")
        return f"process {pid} on {host}" if pid is not None and host is not None else "an unknown controller"


def parse(record: Mapping[str, Any]) -> Request:
    """The request of a line; `time` and `by` may be missing. Raises Refused if it is none that this version knows."""
    identity, command = record.get("id"), record.get("command")
    arguments, by = record.get("arguments", {}), record.get("by", {})
    if not isinstance(identity, str) or not 0 < len(identity) <= 200:
        raise Refused("the request has no id (a text of up to 200 characters)")
    if not isinstance(command, str) or command not in COMMANDS:
        raise Refused(f"unknown command {command!r}; there are: {', '.join(COMMANDS)}")
    if not isinstance(arguments, Mapping):
        raise Refused(f"{command}: arguments must be an object")
    if command == "set":
        arguments = checked_settings(arguments)
    else:
        known = {"release"} if command == "pause" else set()
        unknown = next((key for key in arguments if key not in known), None)
        if unknown is not None:
            raise Refused(f"{command}: unknown argument {unknown!r}")
        if not isinstance(arguments.get("release", False), bool):
            raise Refused("pause: release must be true or false")
    sent = record.get("time")
    at = float(sent) if isinstance(sent, int | float) and not isinstance(sent, bool) else 0.0
    return Request(command, arguments, identity, at, by if isinstance(by, Mapping) else {})


def send(run: RunDirectory, request: Request) -> None:
    """Append a request to the run's control.jsonl; it is on the disk when this returns. Raises DiskFull or OSError."""
    writer = JsonLinesWriter(run.control, sync=True)
    try:
        writer.write(request.to_record())
    finally:
        writer.close()


def answered(events: Iterable[Mapping[str, Any]]) -> set[str]:
    """Ids of the requests that events.jsonl has an answer to."""
    return {str(event.get("id")) for event in events if event.get("kind") == "acknowledged"}


class ControlInbox:
    """The training's side of control.jsonl: hands out each request once, whatever else is in the file.

    `earlier` are the requests that were there when it was opened and that no event has answered.
    """

    def __init__(self, path: Path, answered_before: Iterable[str] = ()) -> None:
        self.path = path
        self._known = set(answered_before)
        self._tail = TailReader(path)
        self._seen: tuple[int, ...] | None = None
        self._more = False
        self._corrupt = 0
        self.earlier: list[Record] = []
        while True:
            self.earlier += self.poll()
            if not self._more:
                break

    def poll(self) -> list[Record]:
        """Lines that are new, as they were written; a line that is no object counts as an empty one.

        One look at the file's facts where nothing was appended. A line with the id of an earlier one is passed over, so
        a controller may send a request again. A file that cannot be read has nothing new.
        """
        try:
            facts = os.stat(self.path)
            seen = (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns)
            if seen == self._seen and not self._more:
                return []
            batch = self._tail.poll()
        except OSError:
            return []
        self._seen, self._more = seen, batch.more
        if batch.restarted:
            self._corrupt = 0
        torn, self._corrupt = self._tail.corrupt - self._corrupt, self._tail.corrupt
        return [record for record in batch.records if self._is_new(record)] + [{}] * torn

    def _is_new(self, record: Record) -> bool:
        identity = record.get("id")
        if not isinstance(identity, str):
            return True
        new = identity not in self._known
        self._known.add(identity)
        return new


class Change(NamedTuple):
    """A setting that holds for the steps after `step`."""

    step: int
    key: str
    value: float


def changes(events: Iterable[Mapping[str, Any]]) -> list[Change]:
    """What `set` changed in a run, by step: what an attempt does again on its way.

    A `set` event at step k holds for the steps after k. One that was made later takes back what was set before it, of
    the same key, for steps beyond its own: after a rewind the newest word counts.
    """
    kept: list[Change] = []
    for event in events:
        step, settings = event.get("step"), event.get("settings")
        if event.get("kind") != "set" or not is_count(step) or not isinstance(settings, Mapping):
            continue
        try:
            values = checked_settings(settings)
        except Refused:
            continue
        kept = [change for change in kept if change.key not in values or change.step <= step]
        kept += [Change(step, key, value) for key, value in values.items()]
    return sorted(kept, key=lambda change: change.step)


def settings_at(events: Iterable[Mapping[str, Any]], step: int) -> dict[str, float]:
    """What `set` had changed by the end of a step: key -> value."""
    return {change.key: change.value for change in changes(events) if change.step <= step}
