"""alias.json: another name for a run, which its folder keeps and every command understands."""

from __future__ import annotations

import json
from pathlib import Path

from nanochat_framework.errors import UsageError
from nanochat_framework.runs.atomic import write_atomic
from nanochat_framework.runs.directory import RunDirectory, check_name
from nanochat_framework.runs.lock import hold_soon


def set_alias(run: RunDirectory, alias: str | None) -> None:
    """Call a run by another name from now on, beside its own; None takes the other name away.

    Raises UsageError for what can be no name, for one that a run of the same folder has, and if the folder cannot be
    written.
    """
    runs_dir = run.path.absolute().parent
    try:
        if alias is None:
            run.alias_json.unlink(missing_ok=True)
            return
        check_name(alias, "alias")
        with hold_soon(runs_dir / ".alias.lock", doing="giving a run another name"):
            taken = _who_has(alias, runs_dir)
            if taken is not None and taken.path.absolute() != run.path.absolute():
                raise UsageError(f"alias {alias!r}: taken by run {taken.name}")
            if alias == run.name:
                raise UsageError(f"alias {alias!r}: it is the run's own name")
            write_atomic(run.alias_json, json.dumps(alias).encode() + b"\n")
    except OSError as error:
        raise UsageError(f"{run.alias_json}: cannot be written ({error.strerror})") from None


def _who_has(name: str, runs_dir: Path) -> RunDirectory | None:
    return next((run for run in RunDirectory.all(runs_dir) if name in (run.name, run.alias)), None)
