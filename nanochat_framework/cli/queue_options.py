"""`--after RUN` and `--queue`, for the commands that start trainings."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nanochat_framework.errors import UsageError

if TYPE_CHECKING:
    from nanochat_framework.runs.directory import RunDirectory


def add_queue_options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--after", action="append", default=[], metavar="RUN", help="begin when that run has ended (repeatable)"
    )
    parser.add_argument(
        "--queue", action="store_true", help="begin when all runs of the folder that are on this machine now have ended"
    )


def take_place(
    arguments: argparse.Namespace, runs_dir: Path, name: str | None, make: Callable[[], RunDirectory], **facts: Any
) -> tuple[RunDirectory, list[RunDirectory] | None]:
    """The run that `make` makes or opens, and the runs that come first; None where neither option is given.

    From here on its status says `queued`, with `facts` (of a `Status`); with --queue nobody else joins meanwhile, so that of
    two runs one is behind the other. `name`: the run's, if there is one already. Raises UsageError for a run that is not
    there, or that nobody could wait for, or that somebody else holds.
    """
    from nanochat_framework.runs.queue import announce, joining

    with joining(runs_dir) if arguments.queue else nullcontext():
        before = runs_before(arguments, runs_dir, name)
        run = make()
        if before is not None:
            announce(run, **facts)
    return run, before


def runs_before(arguments: argparse.Namespace, runs_dir: Path, name: str | None) -> list[RunDirectory] | None:
    """The runs that come before the run `name`, or before a new one; None where neither option is given.

    Raises UsageError for a run that is not there, or that nobody could wait for. Nothing is changed.
    """
    from nanochat_framework.runs.directory import RunDirectory
    from nanochat_framework.runs.queue import checked, present

    if not (arguments.after or arguments.queue):
        return None
    if "WORLD_SIZE" in os.environ:
        raise UsageError("--after and --queue start the training themselves; under torchrun leave them out")
    before = [RunDirectory.find(runs_dir, each) for each in arguments.after]
    checked(before, name)
    if arguments.queue:
        before += [run for run in present(runs_dir) if run.name != name]
    return list(dict.fromkeys(before))
