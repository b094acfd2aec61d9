"""What was asked of runs and is not answered yet; and trainings that are being started."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nanochat_framework.errors import UsageError
from nanochat_framework.runs.control import Request, checked_settings, send
from nanochat_framework.runs.controller import Outcome, PendingRequest
from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.status import listens, liveness, read_status
from nanochat_tui.commands import cannot_start
from nanochat_tui.keys import hint

SET_BEFORE_RESUME = ("queued", "stopped", "released", "failed", "lost")
"""States in which `set` waits for the run's next attempt."""


@dataclass(frozen=True)
class Answer:
    """Something to tell: what came of a request or of a start."""

    text: str
    good: bool


@dataclass
class _Asked:
    request: PendingRequest
    at: float = field(default_factory=time.monotonic)


class Child:
    """A `nanochat` of its own, in a session of its own, with its output in files: it does not notice if we end."""

    def __init__(self, label: str, arguments: Sequence[str]) -> None:
        self.label = label
        self._out, self._errors = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-m", "nanochat_framework", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=self._errors,
            start_new_session=True,
        )

    def poll(self) -> Answer | None:
        """What came of it; None while it runs."""
        code = self._process.poll()
        if code is None:
            return None
        said = []
        for file in (self._out, self._errors):
            file.seek(0)
            said.append(file.read().decode("utf-8", "replace").strip())
            file.close()
        if code == 0:
            queued = any(" waits for " in line for line in said[1].splitlines())
            return Answer(f"{self.label}: {said[0] or 'done'} {'is queued' if queued else 'trains'}", True)
        lines = [line.removeprefix("error: ") for line in said[1].splitlines() if line.startswith("error: ")]
        return Answer(f"{self.label}: {' '.join(lines) or f'it ended with code {code}'}", False)


class Requests:
    """Everything that is under way, for the whole dashboard."""

    def __init__(self) -> None:
        self._asked: list[_Asked] = []
        self._children: list[Child] = []
        self._answers: list[Answer] = []
        """Those that were known at once."""

    def ask(self, run: RunDirectory, command: str, arguments: Mapping[str, Any] | None = None) -> Answer | None:
        """Send a request; an answer at once only where it waits for the run to be resumed.

        Raises UsageError where nobody trains the run, or for settings that cannot be set.
        """
        values = checked_settings(arguments or {}) if command == "set" else dict(arguments or {})
        status = read_status(run.status)
        state = liveness(status)
        request = Request(command, values)
        try:
            if listens(status) and not (state == "queued" and command == "set"):
                self._asked.append(_Asked(PendingRequest(run, request)))
                return None
            if command == "set" and state in SET_BEFORE_RESUME:
                send(run, request)
                when = "from its start" if state == "queued" else "from where it is resumed"
                return Answer(f"{run.name} is {state}; what was set counts {when}", True)
        except OSError as error:
            raise UsageError(f"{run.control}: cannot be written ({error.strerror})") from None
        more = f"; {hint('resume')} goes on with it" if state not in ("finished", "queued", "unknown") else ""
        raise UsageError(f"{command}: {run.name} is {state}{more}")

    def start(self, label: str, arguments: Sequence[str]) -> None:
        """Start a `nanochat` command that detaches a training; what came of it is among the answers."""
        try:
            self._children.append(Child(label, arguments))
        except OSError as error:  # no room for a process, or for what it prints
            self._answers.append(Answer(f"{label}: {cannot_start(error)}", False))

    def starts(self, label: str) -> bool:
        """Whether a command with that label is under way."""
        return any(child.label == label for child in self._children)

    def poll(self) -> list[Answer]:
        """What was answered since the last time."""
        answers, self._answers = self._answers, []
        for asked in list(self._asked):
            try:
                outcome = asked.request.poll()
            except OSError as error:
                outcome = Outcome("ended", reason=str(error.strerror))
            if outcome is not None:
                self._asked.remove(asked)
                answers.append(_answer(asked.request, outcome))
        for child in list(self._children):
            answer = child.poll()
            if answer is not None:
                self._children.remove(child)
                answers.append(answer)
        return answers

    def line(self, run: RunDirectory | None = None) -> str:
        """What is under way (of one run), to be shown until it is answered; empty if nothing is."""
        asked = [a for a in self._asked if run is None or a.request.run == run]
        words = [
            f"{a.request.request.command} {'accepted' if a.request.accepted else 'asked'} {time.monotonic() - a.at:.0f} s ago…"
            for a in asked
        ]
        return "  ".join([*words, *(f"{child.label}…" for child in self._children)])


def _answer(pending: PendingRequest, outcome: Outcome) -> Answer:
    what = f"{pending.run.name}: {pending.request.command}"
    if outcome.verdict == "done":
        facts = "  ".join(f"{key} {_fact(value)}" for key, value in outcome.facts.items())
        return Answer(f"{what} done  {facts}".rstrip(), True)
    return Answer(f"{what} {'refused' if outcome.verdict == 'refused' else 'failed'}: {outcome.reason}", False)


def _fact(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} = {_fact(item)}" for key, item in value.items())
    return f"{value:.5g}" if isinstance(value, float) else str(value)
