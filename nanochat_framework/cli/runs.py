"""`nanochat runs`: list, watch, compare and steer runs, with nothing but their folders."""

from __future__ import annotations

import argparse
import os
from importlib import import_module
from pathlib import Path
from typing import Any

from nanochat_framework.cli.queue_options import add_queue_options
from nanochat_framework.runs.control import COMMANDS, SETTABLE
from nanochat_framework.runs.status import STATES

HELP = "list, watch, compare and steer runs, on this machine or through a shared folder"

EXAMPLES = """\
examples:
  nanochat runs ls
  nanochat runs ls --state running --sort bits --json
  nanochat runs show first
  nanochat runs logs first -f
  nanochat runs compare first second
  nanochat runs alias 2026-11-03_tiny-cpu-0004 baseline
  nanochat runs fork first --from step_00001000 --set optimizer.0.lr=0.01 --run lower --detach
  nanochat runs pause first
  nanochat runs set first lr_scale=0.5 eval.every=200
  nanochat runs unpause first
  nanochat runs pause first --release      checkpoint and end, so that the device is free
  nanochat runs stop ../other/runs/first --timeout 300

RUN is a name or an alias under --runs-dir (default ./runs, or NANOCHAT_RUNS_DIR), or the path of a run's folder. What is asked
of a training is written into its folder and done after its present step; the command waits for the answer. docs/runs.md has the
protocol. Exit codes: 0 done, 1 failed or not answered in time, 2 refused.
"""

_MODULES = {
    **dict.fromkeys(("ls", "show", "compare"), "runs_view"),
    **dict.fromkeys(COMMANDS, "runs_steer"),
    **dict.fromkeys(("tag", "alias", "rm"), "runs_keep"),
    "logs": "runs_logs",
    "fork": "runs_fork",
}
"""Action -> the module in this package that does it."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--runs-dir", type=Path, metavar="DIR", help="where runs live (default ./runs)")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _viewing(actions)
    for name, summary in COMMANDS.items():
        _steering(_action(actions, name, summary), name)
    _keeping(actions)


def _viewing(actions: Any) -> None:
    listing = _action(actions, "ls", "all runs of a folder, a line each")
    listing.add_argument(
        "--state",
        action="append",
        default=[],
        metavar="STATE",
        choices=(*STATES, "lost", "unknown"),
        help="only those in it (repeatable)",
    )
    listing.add_argument(
        "--tag", action="append", default=[], metavar="TAG", help="only those that have it (repeatable)"
    )
    listing.add_argument("--match", default="*", metavar="PATTERN", help="only those with such a name: 'sweep-*'")
    listing.add_argument(
        "--sort", choices=("name", "created", "state", "step", "loss", "bits", "speed"), default="name", help="by what"
    )
    listing.add_argument("--reverse", action="store_true", help="the largest first")
    listing.add_argument("--limit", type=int, metavar="N", help="that many at most")
    listing.add_argument("--json", action="store_true", help="as JSON, with everything")
    showing = _action(actions, "show", "everything there is to know of a run")
    _run_argument(showing)
    showing.add_argument("--json", action="store_true", help="as JSON")
    reading = _action(actions, "logs", "what a training said")
    _run_argument(reading)
    reading.add_argument("-f", "--follow", action="store_true", help="go on until the run ends")
    reading.add_argument(
        "-n", "--lines", type=int, default=40, metavar="N", help="last lines to begin with (default 40)"
    )
    reading.add_argument("--events", action="store_true", help="events.jsonl instead: a JSON object a line")
    comparing = _action(actions, "compare", "where configurations differ, and what the runs came to, side by side")
    comparing.add_argument("runs", nargs="+", metavar="RUN", help="two runs or more")
    comparing.add_argument("--json", action="store_true", help="as JSON")


def _keeping(actions: Any) -> None:
    forking = _action(actions, "fork", "a new run that goes on from a checkpoint of another")
    _run_argument(forking)
    forking.add_argument("--from", dest="checkpoint", metavar="CHECKPOINT", help="a name, or a step (default: newest)")
    forking.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides", help="change one key (repeatable)"
    )
    forking.add_argument(
        "--run", dest="new", metavar="NAME", help="name of the new run (default: date and the old one)"
    )
    forking.add_argument("--check", action="store_true", help="say what it would be, as JSON, and make nothing")
    forking.add_argument("--prepare", action="store_true", help="make its folder, and do not start it")
    forking.add_argument("--detach", action="store_true", help="start it in the background and return")
    add_queue_options(forking)
    forking.add_argument("--nproc", type=int, default=1, metavar="N", help="processes on this machine")
    forking.add_argument("--quiet", action="store_true", help="no progress on the terminal")
    tagging = _action(actions, "tag", "give words to a run, or show those that it has")
    _run_argument(tagging)
    tagging.add_argument("add", nargs="*", metavar="TAG", help="tags to add")
    tagging.add_argument("--remove", action="append", default=[], metavar="TAG", help="a tag to take away (repeatable)")
    tagging.add_argument("--json", action="store_true", help="the tags as JSON")
    naming = _action(actions, "alias", "give a run another name, by which every command finds it, or show it")
    _run_argument(naming)
    naming.add_argument("alias", nargs="?", metavar="ALIAS", help="the other name")
    naming.add_argument("--remove", action="store_true", help="take the other name away")
    naming.add_argument("--json", action="store_true", help="the other name as JSON")
    removing = _action(actions, "rm", "remove runs with all their checkpoints")
    removing.add_argument("runs", nargs="+", metavar="RUN", help="names of runs, or paths of their folders")
    removing.add_argument("--yes", action="store_true", help="do not ask")


def _action(actions: Any, name: str, summary: str) -> argparse.ArgumentParser:
    """`--runs-dir` may stand before the action or after it."""
    action: argparse.ArgumentParser = actions.add_parser(name, help=summary, description=summary)
    action.add_argument("--runs-dir", type=Path, default=argparse.SUPPRESS, metavar="DIR", help=argparse.SUPPRESS)
    return action


def _steering(action: argparse.ArgumentParser, name: str) -> None:
    _run_argument(action)
    if name == "set":
        action.add_argument("settings", nargs="+", metavar="KEY=VALUE", help=", ".join(SETTABLE))
    if name == "pause":
        action.add_argument("--release", action="store_true", help="checkpoint and end, so that the device is free")
    action.add_argument(
        "--timeout", type=float, default=30.0, metavar="SECONDS", help="how long to wait for the answer (default 30)"
    )
    action.add_argument("--no-wait", action="store_true", help="ask, and do not wait for the answer")
    action.add_argument("--json", action="store_true", help="the answer as JSON")


def _run_argument(action: argparse.ArgumentParser) -> None:
    action.add_argument("run", metavar="RUN", help="name of a run, or the path of its folder")


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked for."""
    from nanochat_framework.runs.directory import default_runs_dir

    named, arguments.runs_dir = arguments.runs_dir, arguments.runs_dir or default_runs_dir()
    _check_runs_dir(arguments.runs_dir, must_be=named is not None and arguments.action == "ls")
    module = import_module(f"nanochat_framework.cli.{_MODULES[arguments.action]}")
    return int(module.run(arguments))


def _check_runs_dir(folder: Path, *, must_be: bool) -> None:
    """Raise UsageError where runs cannot be: a file is there; or, if it must be, nothing is (the first run makes it)."""
    from nanochat_framework.errors import UsageError

    if os.path.isdir(folder):  # False, not an error, for what is no path
        return
    if os.path.lexists(folder):
        raise UsageError(f"--runs-dir {folder}: is a file; name the folder that runs live in")
    if must_be:
        raise UsageError(f"--runs-dir {folder}: no such folder")
