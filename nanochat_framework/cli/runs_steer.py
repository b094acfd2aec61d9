"""`nanochat runs pause|unpause|stop|checkpoint|eval|sample|set`: ask something of a training and say what became of it."""

from __future__ import annotations

import argparse
import math
import sys
from typing import Any

from nanochat_framework.cli.common import print_json
from nanochat_framework.cli.options import read_options
from nanochat_framework.errors import NanochatError, UsageError
from nanochat_framework.runs.control import Request, checked_settings, send
from nanochat_framework.runs.controller import Outcome, PendingRequest
from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.jsonlines import plain
from nanochat_framework.runs.status import Status, heartbeat_age, listens, liveness, read_status


def run(arguments: argparse.Namespace) -> int:
    """Send the request and wait for the answer. Raises UsageError if it is refused, NanochatError if it fails."""
    if not 0 <= arguments.timeout < math.inf:
        raise UsageError(f"--timeout: must be a number of seconds, 0 or more, not {arguments.timeout:g}")
    target = RunDirectory.find(arguments.runs_dir, arguments.run)
    request = Request(arguments.action, _arguments(arguments))
    status = read_status(target.status)
    state = liveness(status)
    lives = listens(status) and not (state == "queued" and request.command == "set")  # which counts from its start
    if not lives:
        _check_not_live(target, request, status, state)
    if arguments.no_wait or not lives:
        _send(target, request)
        when = "is done after the present step" if lives else "counts from its next start"
        print(f"{target.name} is {state}; what was asked {when}", file=sys.stderr)
        if arguments.json:
            print_json({"id": request.id})
        return 0
    outcome = _asked(target, request, arguments.timeout)
    if arguments.json:
        print_json(plain({"id": request.id, **vars(outcome)}))
    if outcome.verdict == "done":
        if not arguments.json:
            print(f"{target.name}: {_done(request, outcome)}", file=sys.stderr)
        return 0
    raise _unfulfilled(target, request, outcome, arguments.timeout)


def _arguments(arguments: argparse.Namespace) -> dict[str, Any]:
    if arguments.action == "set":
        return dict(checked_settings(read_options(arguments.settings, what="set")))
    return {"release": True} if getattr(arguments, "release", False) else {}


def _check_not_live(target: RunDirectory, request: Request, status: Status | None, state: str) -> None:
    """For a run that nobody trains: `set` can wait for its next start, nothing else. Raises UsageError."""
    if request.command == "set" and state in ("queued", "stopped", "released", "failed", "lost"):
        return
    hints = {
        "released": f"it released its device after step {status.step if status else 0}",
        "lost": f"its process is gone, the last sign of it is {heartbeat_age(status)} old",
        "finished": "there is nothing left to train",
    }
    goes_on = "" if state == "finished" else f"; `nanochat resume {target.path}` goes on with it"
    why = f" ({hints[state]})" if state in hints else ""
    raise UsageError(f"{request.command}: {target.name} is {state}{why}{goes_on}")


def _send(target: RunDirectory, request: Request) -> None:
    try:
        send(target, request)
    except OSError as error:
        raise UsageError(f"{target.control}: cannot be written ({error.strerror})") from None


def _asked(target: RunDirectory, request: Request, timeout: float) -> Outcome:
    try:
        return PendingRequest(target, request).wait(timeout)
    except OSError as error:
        raise UsageError(f"{error.filename or target.path}: {error.strerror}") from None


def _done(request: Request, outcome: Outcome) -> str:
    """What was done, in a few words."""
    facts = outcome.facts
    texts = {
        "pause": "paused" if "checkpoint" not in facts else f"ends, its device will be free; {facts['checkpoint']}",
        "unpause": "goes on",
        "stop": f"ends; checkpoint {facts['checkpoint']}" if "checkpoint" in facts else "out of the queue",
        "checkpoint": f"checkpoint {facts.get('checkpoint')}",
        "eval": "  ".join(f"{name} {score:.4f}" for name, score in dict(facts.get("scores", {})).items()),
        "sample": f"{facts.get('n_samples')} samples",
        "set": "  ".join(f"{key} = {value:g}" for key, value in dict(facts.get("settings", {})).items()),
    }
    return f"{texts[request.command]} (after step {facts.get('step')})"


def _unfulfilled(target: RunDirectory, request: Request, outcome: Outcome, timeout: float) -> NanochatError:
    """The error for an outcome other than done."""
    what = f"{target.name}: {request.command}"
    if outcome.verdict == "refused":
        return UsageError(f"{target.name}: refused: {outcome.reason}")
    if outcome.verdict == "failed":
        return NanochatError(f"{what} failed: {outcome.reason}")
    if outcome.verdict == "ended":
        done = "before it was done" if outcome.accepted else "before it was read"
        return NanochatError(f"{what}: {outcome.reason}; it ended {done}")
    status = read_status(target.status)
    far = "accepted and not done" if outcome.accepted else "no answer"
    return NanochatError(
        f"{what}: {far} after {timeout:g} s; the run is {liveness(status)} at step {status.step if status else 0}, its last "
        f"sign is {heartbeat_age(status)} old. It is done after the present step; --timeout waits longer"
    )
