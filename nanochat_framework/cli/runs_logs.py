"""`nanochat runs logs`: what a training said, and what happened to it; `-f` follows until it ends."""

from __future__ import annotations

import argparse
import sys
import time
from itertools import islice
from pathlib import Path

from nanochat_framework.errors import UsageError
from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.jsonlines import LineTail, lines_backwards
from nanochat_framework.runs.status import LIVE_STATES, liveness, read_status

POLL_SECONDS = 0.25


def run(arguments: argparse.Namespace) -> int:
    """Show the end of a log, and what is added to it."""
    target = RunDirectory.find(arguments.runs_dir, arguments.run)
    path = target.events if arguments.events else target.train_log
    if arguments.lines < 0:
        raise UsageError("--lines: must be 0 or more")
    if not path.exists() and not (arguments.follow and _lives(target)):
        raise UsageError(f"{path}: there is no such log")
    tail = LineTail(path)
    tail.skip()
    for line in [*islice(lines_backwards(path, tail.place), min(arguments.lines, sys.maxsize))][::-1]:
        _show(line)
    while arguments.follow:
        lives = _lives(target)  # asked first: what was said before the end is read after it
        _follow(tail, path)
        if not lives:
            print(f"{target.name}: {liveness(read_status(target.status))}", file=sys.stderr)
            break
        time.sleep(POLL_SECONDS)
    return 0


def _lives(target: RunDirectory) -> bool:
    return liveness(read_status(target.status)) in (*LIVE_STATES, "queued")


def _follow(tail: LineTail, path: Path) -> None:
    more = True
    while more:
        lines, restarted, more = tail.lines()
        if restarted:
            print(f"{path}: was replaced; from its beginning", file=sys.stderr)
        for line in lines:
            _show(line)


def _show(line: bytes) -> None:
    print(line.decode("utf-8", "replace"), flush=True)
