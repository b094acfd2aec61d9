"""`nanochat checkpoints`: what a run has kept, what is to stay, and what may go."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

HELP = "list a run's checkpoints, keep them from being pruned, remove them"

EXAMPLES = """\
examples:
  nanochat checkpoints ls first
  nanochat checkpoints ls first --verify --json      (reads every byte)
  nanochat checkpoints keep first step_00001000      (checkpoint.keep_last does not count it any more)
  nanochat checkpoints unkeep first 1000
  nanochat checkpoints rm first 500 --yes

RUN is a name under --runs-dir (default ./runs, or NANOCHAT_RUNS_DIR), or the path of a run's folder; CHECKPOINT a name of the
list, or a step. All of it may be done while the run trains; rm then leaves what the training would go on from.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ls|keep|unkeep|rm", required=True)
    listing = _action(actions, "ls", "all of a run: step, size, held-out loss, age")
    listing.add_argument("--verify", action="store_true", help="compare the checksums of all files")
    listing.add_argument("--json", action="store_true", help="as JSON")
    for name, summary in (
        ("keep", "protect checkpoints from pruning and from rm"),
        ("unkeep", "protect them no longer"),
        ("rm", "remove checkpoints"),
    ):
        action = _action(actions, name, summary)
        action.add_argument("checkpoints", nargs="+", metavar="CHECKPOINT", help="a name, or a step")
        if name == "rm":
            action.add_argument("--yes", action="store_true", help="do not ask")


def _action(actions: Any, name: str, summary: str) -> argparse.ArgumentParser:
    action: argparse.ArgumentParser = actions.add_parser(name, help=summary, description=summary)
    action.add_argument("run", metavar="RUN", help="name of a run, or the path of its folder")
    action.add_argument("--runs-dir", type=Path, metavar="DIR", help="where runs live (default ./runs)")
    return action


def run(arguments: argparse.Namespace) -> int:
    """List, keep or remove."""
    from nanochat_framework.runs.checkpoints import checkpoint_named, keep
    from nanochat_framework.runs.directory import RunDirectory, default_runs_dir

    target = RunDirectory.find(arguments.runs_dir or default_runs_dir(), arguments.run)
    if arguments.action == "ls":
        _list(target, checksums=arguments.verify, as_json=arguments.json)
        return 0
    names = list(dict.fromkeys(checkpoint_named(target, name) for name in arguments.checkpoints))
    if arguments.action == "rm":
        return _remove(target, names, confirmed=arguments.yes)
    for name in names:
        keep(target, name, kept=arguments.action == "keep")
    return 0


def _list(target: Any, *, checksums: bool, as_json: bool) -> None:
    from nanochat_framework.cli.common import print_json, print_table
    from nanochat_framework.cli.progress import stage
    from nanochat_framework.runs.checkpoints import checkpoints
    from nanochat_framework.runs.status import age

    found = checkpoints(
        target, checksums=checksums, begins=lambda name: stage(f"reading {name}") if checksums else None
    )
    if as_json:
        print_json([each.to_dict() for each in found])
        return
    now = time.time()
    rows = [
        (
            each.name,
            "-" if each.step is None else str(each.step),
            f"{each.bytes / 1e6:,.1f}",
            "-" if each.eval_loss is None else f"{each.eval_loss:.4f}",
            "-" if each.bits_per_byte is None else f"{each.bits_per_byte:.4f}",
            "-" if each.written is None else age(now - each.written),
            "kept" if each.kept else "",
            each.problem or "whole",
        )
        for each in found
    ]
    print_table(("checkpoint", "step", "MB", "held-out", "bits/byte", "age", "", ""), rows)


def _remove(target: Any, names: list[str], *, confirmed: bool) -> int:
    from nanochat_framework.cli.common import confirm
    from nanochat_framework.errors import UsageError
    from nanochat_framework.runs.checkpoints import refusal, remove_checkpoint

    for name in names:  # before anything is removed
        reason = refusal(target, name)
        if reason is not None:
            raise UsageError(f"{target.name}: {reason}")
    if not confirmed and not confirm(f"remove {', '.join(names)} of {target.name}?"):
        print("nothing was removed", file=sys.stderr)
        return 0
    for name in names:
        remove_checkpoint(target, name)
        print(f"removed {target.checkpoints / name}", file=sys.stderr)
    return 0
