"""`nanochat runs fork`: a new run from a checkpoint of another, with settings changed."""

from __future__ import annotations

import argparse
import sys

from nanochat_framework.cli.common import load_host, process_count
from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.fork import fork


def run(arguments: argparse.Namespace) -> int:
    """Make the run; start it unless it is only to be prepared."""
    parent = RunDirectory.find(arguments.runs_dir, arguments.run)
    nproc = process_count(arguments.nproc)
    made = fork(
        parent,
        load_host().registry,
        runs_dir=arguments.runs_dir,
        name=arguments.new,
        checkpoint=arguments.checkpoint,
        overrides=arguments.overrides,
        argv=sys.argv,
    )
    if arguments.prepare:
        print(made.name)
        print(f"{made.path}: prepared; `nanochat resume {made.path}` trains it", file=sys.stderr)
        return 0
    from nanochat_framework.cli.resume import detach, resume

    if arguments.detach:
        return detach(made, ["--nproc", str(nproc)])
    from nanochat_framework.training.launch import forgotten_if_refused

    with forgotten_if_refused(made):
        return resume(str(made.path), None, quiet=arguments.quiet, nproc=nproc)
