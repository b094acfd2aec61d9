"""`nanochat plugins panels`: what plugins' panels show of a run, once or as it changes."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

from nanochat_framework.plugins.panels import LATE_SECONDS, PanelText, PanelWatch, forbid_torch

HELP = "what plugins' panels show of a run: the dashboard's tab, as text"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    from nanochat_framework.runs.directory import default_runs_dir

    parser.description = (
        "Call the panels of all plugins on a run, and print what they show. A panel that raises, or does not answer, is shown "
        "as that; what it prints goes nowhere."
    )
    parser.add_argument("run", metavar="RUN", help="name of a run, or the path of its folder")
    parser.add_argument(
        "--runs-dir", type=Path, default=default_runs_dir(), metavar="DIR", help="where runs live (default ./runs)"
    )
    parser.add_argument("--follow", "-f", action="store_true", help="go on, with each panel whenever its text changed")
    parser.add_argument("--json", action="store_true", help="as JSON; with --follow an object a line")


def run(arguments: argparse.Namespace) -> int:
    """Show them. Raises UsageError where there is no such run."""
    from nanochat_framework.cli.common import load_host
    from nanochat_framework.runs.directory import RunDirectory

    folder = RunDirectory.find(arguments.runs_dir, arguments.run).path.absolute()
    host = load_host()
    forbid_torch()
    with _stdout_for_us_alone() as out:
        watch = PanelWatch(host, folder)
        if arguments.follow:
            for text in watch.follow():
                print(json.dumps(asdict(text)) if arguments.json else _shown(text), file=out, flush=True)
            return 0
        texts = watch.once()
        if arguments.json:
            print(json.dumps([asdict(text) for text in texts], indent=1), file=out)
        else:
            print("\n".join(_shown(text) for text in texts), end="\n" if texts else "", file=out)
    if not texts:
        print("no plugin has a panel", file=sys.stderr)
    return 0


@contextmanager
def _stdout_for_us_alone() -> Iterator[TextIO]:
    """Our stdout, while what anybody else prints, in Python or below, goes nowhere."""
    sys.stdout.flush()
    own = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        with open(own, "w", encoding="utf-8", errors="backslashreplace", closefd=False) as out:
            yield out
    finally:
        os.dup2(own, 1)
        os.close(own)
        os.close(nowhere)


def _shown(text: PanelText) -> str:
    """A panel as lines: its title, then what it shows."""
    head = f"{text.title}  ({text.name} of {text.plugin})"
    late = [f"  no answer for {LATE_SECONDS:g} s"] if text.late else []
    error = [f"  {text.error}"] if text.error else []
    return "\n".join([head, *late, *error, *(f"  {line}" for line in text.lines)])
