"""What several commands share."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nanochat_framework.errors import UsageError

if TYPE_CHECKING:
    from nanochat_framework.plugins import PluginHost
    from nanochat_framework.runs.directory import RunDirectory


def load_host() -> PluginHost:
    """Load the plugins, and say on stderr, a line each, which did not load."""
    from nanochat_framework.plugins import load_plugins

    host = load_plugins()
    for warning in host.warnings():
        print(f"warning: plugin {warning} (`nanochat plugins list`)", file=sys.stderr)
    return host


def process_count(nproc: int) -> int:
    """`--nproc`, checked. Raises UsageError."""
    if nproc < 1:
        raise UsageError(f"--nproc {nproc}: at least one process is needed")
    if nproc > 1 and "WORLD_SIZE" in os.environ:
        raise UsageError("--nproc starts the processes itself; under torchrun leave it out")
    return nproc


def runs_named(names: Sequence[str], runs_dir: Path) -> list[RunDirectory]:
    """Each run once, though it may be named twice, by its name and by its path. Raises UsageError for one that is not there."""
    from nanochat_framework.runs.directory import RunDirectory

    found = [RunDirectory.find(runs_dir, name) for name in names]
    return list({run.path.resolve(): run for run in found}.values())


def print_json(value: Any) -> None:
    """Data for programs, on stdout."""
    print(json.dumps(value, indent=1, default=str))


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Aligned columns on stdout; the last one may be long."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    for row in (header, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def confirm(question: str) -> bool:
    """Ask on stderr; only `y` and `yes` are a yes. Raises UsageError where nobody can answer."""
    if not sys.stdin.isatty():
        raise UsageError("rm: nobody is there to confirm it; --yes removes without asking")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
