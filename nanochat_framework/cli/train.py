"""`nanochat train`: start a new run from a configuration."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from nanochat_framework.errors import UsageError

if TYPE_CHECKING:
    from nanochat_framework.config.load import LoadedConfig

HELP = "train a model from a TOML file or a preset"

EXAMPLES = """\
examples:
  nanochat train tiny-cpu --run first
  nanochat train my.toml --set optimizer.0.lr=0.01 --set train.steps=2000
  nanochat train nano-125m --set hardware.device=cuda --runs-dir /data/runs
  nanochat train nano-125m --nproc 8
  nanochat train nano-125m --run big --detach     (goes on when you log out; `nanochat runs logs big -f`)
  nanochat train tiny-cpu --queue --detach        (begins when what is on this machine has ended)
  torchrun --nproc-per-node 8 -m nanochat_framework -- train nano-125m

The run is a folder under --runs-dir (default ./runs). Ctrl-C once finishes the step, writes a checkpoint and exits with
code 3; `nanochat resume RUN` goes on exactly where it stopped.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    from nanochat_framework.cli.earlier_flags import add_earlier_flags
    from nanochat_framework.cli.queue_options import add_queue_options

    parser.add_argument("config", nargs="?", help="path of a TOML file or of a run, or the name of a preset")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides", help="change one key (repeatable)"
    )
    parser.add_argument("--run", metavar="NAME", help="name of the run (default: date and preset)")
    parser.add_argument("--runs-dir", type=Path, metavar="DIR", help="where runs live (default ./runs)")
    parser.add_argument(
        "--nproc",
        type=int,
        default=1,
        metavar="N",
        help="processes on this machine, one a device (several nodes: torchrun)",
    )
    parser.add_argument(
        "--detach",
        action="store_true",
        help="train in the background, print the run's name; output goes to its train.log",
    )
    add_queue_options(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress on the terminal")
    add_earlier_flags(parser)


def run(arguments: argparse.Namespace) -> int:
    """Validate, make the run directory, train."""
    from nanochat_framework.cli.common import load_host, process_count
    from nanochat_framework.cli.earlier_flags import resolve_earlier_flags
    from nanochat_framework.config.load import load_config
    from nanochat_framework.runs.directory import default_runs_dir

    flags = resolve_earlier_flags(arguments)
    if flags.resume is not None:
        from nanochat_framework.cli.resume import resume

        for option in ("detach", "after", "queue"):
            if getattr(arguments, option):
                raise UsageError(f"--{option}: use it with `nanochat resume RUN --{option}`")
        return resume(flags.resume, flags.runs_dir or arguments.runs_dir, quiet=arguments.quiet, nproc=arguments.nproc)
    host = load_host()
    loaded = load_config(flags.config, registry=host.registry, overrides=[*flags.overrides, *arguments.overrides])
    for warning in loaded.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    runs_dir, name, nproc = (
        flags.runs_dir or arguments.runs_dir,
        flags.run or arguments.run,
        process_count(arguments.nproc),
    )
    if arguments.detach or arguments.after or arguments.queue:
        return _later(arguments, loaded, runs_dir or default_runs_dir(), name, flags.epochs, nproc)
    from nanochat_framework.training.launch import start

    return start(loaded, host, runs_dir=runs_dir, name=name, epochs=flags.epochs, quiet=arguments.quiet, nproc=nproc)


def _later(
    arguments: argparse.Namespace,
    loaded: LoadedConfig,
    runs_dir: Path,
    name: str | None,
    epochs: int | None,
    nproc: int,
) -> int:
    """Make the run's folder, and train it in a process of its own (`--detach`), or after other runs, or both."""
    from nanochat_framework.cli.queue_options import take_place
    from nanochat_framework.cli.resume import detach, resume
    from nanochat_framework.runs.removal import kept_unless_refused
    from nanochat_framework.training.new_run import new_run

    config = loaded.config
    if epochs is not None:
        from nanochat_framework.training.setup import training_steps

        config = training_steps(config, epochs)
    total = {"total_steps": config.train.steps or 0}
    run, before = take_place(arguments, runs_dir, None, lambda: new_run(loaded, config, runs_dir, name), **total)

    def train() -> int:
        if arguments.detach:
            return detach(run, ["--nproc", str(nproc)], before)
        return resume(str(run.path), None, quiet=arguments.quiet, nproc=nproc, before=before)

    return kept_unless_refused(run, train)
