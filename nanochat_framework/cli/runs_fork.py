"""`nanochat runs fork`: a new run from a checkpoint of another, with settings changed."""

from __future__ import annotations

import argparse
import sys

from nanochat_framework.cli.common import load_host, print_json, process_count
from nanochat_framework.cli.queue_options import runs_before, take_place
from nanochat_framework.errors import UsageError
from nanochat_framework.plugins.registry import Registry
from nanochat_framework.runs.directory import RunDirectory, check_free
from nanochat_framework.runs.fork import checked, fork


def run(arguments: argparse.Namespace) -> int:
    """Make the run; start it, or let it wait for others, unless it is only to be prepared."""
    if arguments.prepare and (arguments.after or arguments.queue or arguments.detach):
        raise UsageError("--prepare starts nothing; `nanochat resume` has --detach, --after and --queue")
    parent = RunDirectory.find(arguments.runs_dir, arguments.run)
    nproc = process_count(arguments.nproc)
    registry = load_host().registry
    if arguments.check:
        return _check(arguments, parent, registry)

    def make() -> RunDirectory:
        return fork(
            parent,
            registry,
            runs_dir=arguments.runs_dir,
            name=arguments.new,
            checkpoint=arguments.checkpoint,
            overrides=arguments.overrides,
            argv=sys.argv,
        )

    made, before = take_place(arguments, arguments.runs_dir, None, make)
    if arguments.prepare:
        print(made.name)
        print(f"{made.path}: prepared; `nanochat resume {made.path}` trains it", file=sys.stderr)
        return 0
    from nanochat_framework.cli.resume import detach, resume
    from nanochat_framework.runs.removal import kept_unless_refused

    def train() -> int:
        if arguments.detach:
            return detach(made, ["--nproc", str(nproc)], before)
        return resume(str(made.path), None, quiet=arguments.quiet, nproc=nproc, before=before)

    return kept_unless_refused(made, train)


def _check(arguments: argparse.Namespace, parent: RunDirectory, registry: Registry) -> int:
    """Say what a fork would be. Raises UsageError for every reason that making it would have."""
    if arguments.new is not None:
        check_free(arguments.runs_dir, arguments.new)
    runs_before(arguments, arguments.runs_dir, None)
    folder, step, config = checked(parent, registry, checkpoint=arguments.checkpoint, overrides=arguments.overrides)
    print_json({"parent": parent.name, "checkpoint": folder.name, "step": step, "steps": config.train.steps})
    return 0
