"""`--after RUN` and `--queue`, for the commands that start trainings."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

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


def runs_before(arguments: argparse.Namespace, runs_dir: Path, name: str | None = None) -> list[RunDirectory] | None:
    """The runs that come first; None where neither option is given. `name`: the run that is to wait.

    Raises UsageError for a run that is not there, or that nobody could wait for.
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
