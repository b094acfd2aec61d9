"""All runs of a folder, looked at again and again at little cost: a run is read anew only when its files changed."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nanochat_framework.errors import UsageError
from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.summary import RunSummary, again, summarize
from nanochat_tui.filters import Filter

_Mark = tuple[int, int, int] | None
"""What tells that a file is another one, or was changed; None where there is none."""


class RunsWatch:
    """`runs` is what the last `poll` found, by name."""

    def __init__(self, runs_dir: Path) -> None:
        self.runs_dir = runs_dir
        self.runs: list[RunSummary] = []
        self.problem = ""
        """Why the folder cannot be read, if it cannot; one that does not exist has no runs yet."""
        self._seen: dict[str, tuple[tuple[_Mark, ...], RunSummary]] = {}
        self._configs: dict[str, tuple[_Mark, Mapping[str, Any]]] = {}

    def poll(self) -> bool:
        """Look again; whether anything is different. A run that cannot be read is left out."""
        now, seen = time.time(), {}
        for run in self._folders():
            marks = tuple(_mark(file) for file in (run.status, run.tags, run.alias_json, run.run_json))
            known = self._seen.get(run.name)
            try:
                seen[run.name] = (
                    (marks, again(known[1], now)) if known and known[0] == marks else (marks, summarize(run, now))
                )
            except (OSError, UsageError):
                continue
        runs = [summary for _, summary in seen.values()]
        different = runs != self.runs
        self._seen, self.runs = seen, runs
        return different

    def _folders(self) -> list[RunDirectory]:
        self.problem = ""
        try:
            os.scandir(self.runs_dir).close()
            return RunDirectory.all(self.runs_dir)
        except FileNotFoundError:
            return []
        except OSError as error:
            self.problem = f"{self.runs_dir}: cannot be read ({error.strerror})"
            return []

    def matching(self, wanted: Filter | None) -> list[RunSummary]:
        """Runs that a filter means; all without one."""
        return [summary for summary in self.runs if wanted is None or wanted.fits(self._lookup(summary))]

    def _lookup(self, summary: RunSummary) -> Callable[[str], Sequence[Any]]:
        def values(field: str) -> Sequence[Any]:
            if field in FIELDS:
                return [value for value in FIELDS[field](summary) if value is not None]
            config = self._config(summary)
            return [value for key, value in config.items() if key == field or key.rpartition(".")[2] == field]

        return values

    def _config(self, summary: RunSummary) -> Mapping[str, Any]:
        """Every key of the resolved configuration by its path; read again only where there is another file."""
        mark = _mark(summary.run.config_resolved)
        if summary.path not in self._configs or self._configs[summary.path][0] != mark:
            found: dict[str, Any] = {}
            with contextlib.suppress(UsageError, RecursionError):
                found = dict(_flat(summary.run.config(), ""))
            self._configs[summary.path] = mark, found
        return self._configs[summary.path][1]


def _mark(path: Path) -> _Mark:
    try:
        facts = os.stat(path)
    except OSError:
        return None
    return facts.st_ino, facts.st_size, facts.st_mtime_ns


def _flat(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if items is None:
        yield path, value
        return
    for key, item in items:
        yield from _flat(item, f"{path}.{key}" if path else str(key))


def seconds_left(summary: RunSummary) -> float | None:
    """Until a run that trains has done its steps, at the speed of now; None where that is not known."""
    speed, step = summary.tokens_per_second, summary.step
    if (
        summary.state not in ("running", "paused")
        or not speed
        or not math.isfinite(speed)
        or not step
        or not summary.tokens
    ):
        return None
    return max(summary.total_steps - step, 0) * (summary.tokens / step) / speed


def _age(summary: RunSummary) -> float | None:
    return None if summary.created is None else time.time() - summary.created


FIELDS: dict[str, Callable[[RunSummary], Sequence[Any]]] = {
    "name": lambda run: [run.name],
    "alias": lambda run: [run.alias],
    "state": lambda run: [run.state],
    "step": lambda run: [run.step],
    "steps": lambda run: [run.total_steps],
    "tokens": lambda run: [run.tokens],
    "attempt": lambda run: [run.attempt],
    "loss": lambda run: [run.loss],
    "eval_loss": lambda run: [run.eval_loss],
    "bits_per_byte": lambda run: [run.bits_per_byte],
    "speed": lambda run: [run.tokens_per_second],
    "age": lambda run: [_age(run)],
    "tag": lambda run: run.tags,
    "host": lambda run: [run.host],
    "parent": lambda run: [run.parent],
    "error": lambda run: [run.error],
}
"""Columns that a filter may name -> their values; everything else is looked for in the configuration."""
