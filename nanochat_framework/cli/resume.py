"""`nanochat resume`: go on with a run, exactly where it stopped."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nanochat_framework.runs.directory import RunDirectory

HELP = "continue a run exactly where it stopped"

EXAMPLES = """\
examples:
  nanochat resume first
  nanochat resume runs/first
  nanochat resume first --from step_00001000    (rewinds: later checkpoints move to checkpoints/superseded)
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    from nanochat_framework.cli.queue_options import add_queue_options

    parser.add_argument("run", help="name of a run, or the path of its folder")
    parser.add_argument(
        "--from",
        dest="checkpoint",
        metavar="CHECKPOINT",
        help="a checkpoint of the run: a name of `nanochat checkpoints ls`, or a step (default: newest)",
    )
    parser.add_argument("--runs-dir", type=Path, metavar="DIR", help="where runs live (default ./runs)")
    parser.add_argument(
        "--nproc", type=int, default=1, metavar="N", help="processes on this machine; need not be as many as before"
    )
    parser.add_argument("--detach", action="store_true", help="go on in the background; output goes to its train.log")
    add_queue_options(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress on the terminal")


def run(arguments: argparse.Namespace) -> int:
    """Find the run and go on."""
    from nanochat_framework.cli.common import process_count
    from nanochat_framework.cli.queue_options import take_place
    from nanochat_framework.runs.checkpoints import whole_checkpoint
    from nanochat_framework.runs.directory import default_runs_dir, find_to_resume

    before = None
    if arguments.detach or arguments.after or arguments.queue:
        target, named = find_to_resume(arguments.run, arguments.runs_dir or default_runs_dir())
        wanted = named if arguments.checkpoint is None else arguments.checkpoint
        if wanted is not None:
            whole_checkpoint(target, wanted)  # before anything says that the run waits, or begins
        # a run that is named by its path may lie elsewhere than others do: it queues where it lies
        beside = arguments.runs_dir or target.path.absolute().parent
        _, before = take_place(arguments, beside, target.name, lambda: target)
        if arguments.detach:
            given = [] if wanted is None else ["--from", wanted]
            return detach(target, [*given, "--nproc", str(process_count(arguments.nproc))], before)
    options = {"checkpoint": arguments.checkpoint, "quiet": arguments.quiet, "nproc": arguments.nproc}
    return resume(arguments.run, arguments.runs_dir, **options, before=before)


def resume(
    target: str,
    runs_dir: Path | None,
    *,
    checkpoint: str | None = None,
    quiet: bool = False,
    nproc: int = 1,
    before: Sequence[RunDirectory] | None = None,
) -> int:
    """Resume a run by name or path; the path of one of its checkpoints names both. It may be its turn only after others."""
    from nanochat_framework.cli.common import load_host, process_count

    turn: AbstractContextManager[None] = nullcontext()
    if before is not None:
        from nanochat_framework.runs.directory import default_runs_dir, find_to_resume
        from nanochat_framework.runs.queue import in_turn

        turn = in_turn(find_to_resume(target, runs_dir or default_runs_dir())[0], before)
    with turn:
        from nanochat_framework.training.launch import go_on  # imports torch, which nobody needs while waiting

        n = process_count(nproc)
        return go_on(target, load_host(), runs_dir=runs_dir, checkpoint=checkpoint, quiet=quiet, nproc=n)


def detach(run: RunDirectory, options: Sequence[str], before: Sequence[RunDirectory] | None = None) -> int:
    """Train a run in the background, after others if there are any; prints its name. `options` are those of `resume`."""
    from nanochat_framework.runs.detached import start_detached
    from nanochat_framework.runs.status import read_status

    after = [word for each in before or () for word in ("--after", str(each.path.resolve()))]
    pid = start_detached(run, [*options, *after])
    status = read_status(run.status)
    print(run.name)
    if status is not None and status.waits_for:
        print(f"{run.name} waits for {', '.join(status.waits_for)}", file=sys.stderr)
    print(f"{run.path}: process {pid}; `nanochat runs logs {run.path} -f` shows what it says", file=sys.stderr)
    return 0
