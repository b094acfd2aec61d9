"""The dashboard as lines of text, for screen readers, logs and terminals that cannot draw."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from nanochat_framework.cli.common import print_table
from nanochat_framework.errors import UsageError
from nanochat_tui import formats
from nanochat_tui.filters import parse
from nanochat_tui.printable import printable
from nanochat_tui.watch import RunsWatch


def show(runs_dir: Path, *, wanted: str, seconds: float, once: bool) -> None:
    """Print the runs that a filter means as a table, and again whenever it changed, every `seconds` at most.

    Raises UsageError for a filter that is none, and for a folder that cannot be read.
    """
    watch, filter_, before = RunsWatch(runs_dir), parse(wanted), None
    while True:
        watch.poll()
        if watch.problem:
            raise UsageError(watch.problem)
        runs = watch.matching(filter_)
        rows = [tuple(printable(column.text(run)) for column in formats.COLUMNS) for run in runs]
        changes = [(run.title, run.state, run.step, run.loss, run.tags) for run in runs]
        if changes != before:
            if before is not None:
                print()
            print(f"{time.strftime('%H:%M:%S')}  {runs_dir}: {len(runs)} of {len(watch.runs)} runs")
            print_table([column.name for column in formats.COLUMNS], rows)
            sys.stdout.flush()
        if once:
            return
        before = changes
        time.sleep(seconds)
