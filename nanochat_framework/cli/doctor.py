"""`nanochat doctor`: what this machine and this installation can do, what stands in the way, and what to do about it."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nanochat_framework.doctor.finding import Finding

HELP = "look for what is missing or in the way on this machine, and say what to do"

EXAMPLES = """\
examples:
  nanochat doctor
  nanochat doctor --problems
  nanochat doctor --json

Levels: ok; note (it works, and could be better); problem (something will fail). Exit code 1 if there is a problem.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--problems", action="store_true", help="only notes and problems")
    parser.add_argument("--runs-dir", type=Path, metavar="DIR", help="where runs would be (default ./runs)")
    parser.add_argument("--json", action="store_true", help="a list of {subject, level, what, todo}")


def run(arguments: argparse.Namespace) -> int:
    """Look at everything and print it; 1 if there is a problem."""
    import sys
    from dataclasses import asdict

    from nanochat_framework.cli.common import print_json
    from nanochat_framework.doctor.finding import NOTE, OK, PROBLEM

    found = [each for each in _findings(arguments.runs_dir) if not (arguments.problems and each.level == OK)]
    problems = sum(each.level == PROBLEM for each in found)
    if arguments.json:
        print_json([asdict(each) for each in found])
    else:
        _print(found)
        notes = sum(each.level == NOTE for each in found)
        print(
            f"{problems or 'no'} problem{'s' * (problems != 1)}, {notes or 'no'} note{'s' * (notes != 1)}",
            file=sys.stderr,
        )
    return int(problems > 0)


def _findings(runs_dir: Path | None) -> list[Finding]:
    """All of them in order. torch is imported by a child process meanwhile."""
    from nanochat_framework.doctor.disk_look import look_at_disk
    from nanochat_framework.doctor.machine_look import look_at_compiler, look_at_cpu, look_at_memory, look_at_terminal
    from nanochat_framework.doctor.packages import look_at_extras, look_at_packages, look_at_plugins
    from nanochat_framework.doctor.probing import TorchProbe
    from nanochat_framework.doctor.torch_look import look_at_devices, look_at_kernels, look_at_python, look_at_torch

    probe = TorchProbe()
    try:
        before = _each({"python": look_at_python, "packages": look_at_packages})
        after = _each(
            {
                "cpu": look_at_cpu,
                "memory": look_at_memory,
                "compiler": look_at_compiler,
                "terminal": look_at_terminal,
                "disk": lambda: look_at_disk(runs_dir),
                "plugins": look_at_plugins,
                "extras": look_at_extras,
            }
        )
        torch = probe.result()
    finally:
        probe.close()
    about_torch = _each(
        {
            "torch": lambda: look_at_torch(torch),
            "devices": lambda: look_at_devices(torch),
            "kernels": lambda: look_at_kernels(torch),
        }
    )
    return [*before, *about_torch, *after]


def _each(looks: dict[str, Callable[[], Iterable[Finding]]]) -> list[Finding]:
    """What the looks find. One that fails is a finding: on a broken machine the others are all the more wanted."""
    return [finding for subject, look in looks.items() for finding in _guarded(subject, look)]


def _guarded(subject: str, look: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    from nanochat_framework.doctor.finding import PROBLEM, Finding

    try:
        yield from look()
    except Exception as error:
        what = " ".join(f"looking failed with {type(error).__name__}: {error}".split())
        todo = "install what is missing, if something is; else please report it"
        yield Finding(subject, PROBLEM, what, todo)


def _print(found: list[Finding]) -> None:
    import sys

    from nanochat_framework.machine.terminal import why_no_colours

    coloured = sys.stdout.isatty() and not why_no_colours()
    colours = {"ok": "32", "note": "33", "problem": "31"}
    width, subject = max((len(each.subject) for each in found), default=0), ""
    for each in found:
        heading = "" if each.subject == subject else each.subject
        subject = each.subject
        level = f"{each.level:<7}"
        level = f"\x1b[{colours[each.level]}m{level}\x1b[0m" if coloured else level
        print(f"{heading:<{width}}  {level}  {each.what}")
        if each.todo:
            print(f"{'':<{width}}  {'':<7}    -> {each.todo}")
