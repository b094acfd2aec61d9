"""`nanochat runs ls|show|compare`: what there is to know of runs, from their folders."""

from __future__ import annotations

import argparse
import fnmatch
import math
import time
from collections.abc import Callable
from typing import Any

from nanochat_framework.cli.common import print_json, print_table, runs_named
from nanochat_framework.errors import UsageError
from nanochat_framework.runs.compare import shown
from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.jsonlines import plain
from nanochat_framework.runs.status import age
from nanochat_framework.runs.summary import RunSummary, summaries

SORT_KEYS: dict[str, Callable[[RunSummary], Any]] = {
    "name": lambda summary: summary.name,
    "created": lambda summary: summary.created,
    "state": lambda summary: summary.state,
    "step": lambda summary: summary.step,
    "loss": lambda summary: summary.loss,
    "bits": lambda summary: summary.bits_per_byte,
    "speed": lambda summary: summary.tokens_per_second,
}


def run(arguments: argparse.Namespace) -> int:
    """List, show or compare."""
    actions = {"ls": _list, "show": _show, "compare": _compare}
    actions[arguments.action](arguments)
    return 0


def _list(arguments: argparse.Namespace) -> None:
    if arguments.limit is not None and arguments.limit < 1:
        raise UsageError("--limit: must be 1 or more")
    found = [summary for summary in summaries(arguments.runs_dir) if _wanted(summary, arguments)]
    key = SORT_KEYS[arguments.sort]
    known = [summary for summary in found if _is_known(key(summary))]
    known.sort(key=key, reverse=arguments.reverse)
    listed = [*known, *(summary for summary in found if not _is_known(key(summary)))]  # those that have none come last
    if arguments.limit is not None:
        listed = listed[: arguments.limit]
    if arguments.json:
        print_json([summary.to_dict() for summary in listed])
        return
    now = time.time()
    header = ("run", "state", "step", "loss", "bits/byte", "tokens/s", "age", "tags")
    print_table(header, [_row(summary, now) for summary in listed])


def _is_known(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def _wanted(summary: RunSummary, arguments: argparse.Namespace) -> bool:
    return (
        (not arguments.state or summary.state in arguments.state)
        and all(tag in summary.tags for tag in arguments.tag)
        and any(fnmatch.fnmatchcase(name, arguments.match) for name in (summary.name, summary.called))
    )


def _row(summary: RunSummary, now: float) -> tuple[str, ...]:
    return (
        summary.title,
        _state(summary, now),
        f"{summary.step}/{summary.total_steps}" if summary.total_steps else str(summary.step),
        _number(summary.loss, ".4f"),
        _number(summary.bits_per_byte, ".4f"),
        _number(summary.tokens_per_second, ",.0f"),
        "-" if summary.created is None else age(now - summary.created),
        " ".join(summary.tags),
    )


def _state(summary: RunSummary, now: float) -> str:
    """The state; of a lost run also how long it has been silent, of a queued one its place and the run before it."""
    if summary.state == "lost" and summary.heartbeat is not None:
        return f"lost ({age(now - summary.heartbeat)} ago)"
    if summary.waits_for:
        return f"queued ({len(summary.waits_for)}, after {summary.waits_for[-1]})"
    return summary.state


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _show(arguments: argparse.Namespace) -> None:
    from nanochat_framework.runs.facts import facts

    found = facts(RunDirectory.find(arguments.runs_dir, arguments.run))
    if arguments.json:
        print_json(found)
        return
    width = max(map(len, found))
    for key, value in found.items():
        lines = _lines(value)
        print(f"{key:<{width}}  {lines[0] if lines else '-'}")
        for line in lines[1:]:
            print(f"{'':<{width}}  {line}")


def _lines(value: Any) -> list[str]:
    """A fact as text: a line for each member of a list or table."""
    if value is None:
        return []
    if isinstance(value, list):
        return [shown(member) for member in value]
    if isinstance(value, dict):
        return [f"{key}  {shown(member)}" for key, member in value.items()]
    return [shown(value)]


def _compare(arguments: argparse.Namespace) -> None:
    from nanochat_framework.config.diff import ABSENT
    from nanochat_framework.runs.compare import best, compare

    runs = runs_named(arguments.runs, arguments.runs_dir)
    if len(runs) < 2:
        raise UsageError("compare: name two runs or more")
    found = compare(runs)
    if arguments.json:
        config = {
            key: {name: value for name, value in zip(found.names, values, strict=True) if value is not ABSENT}
            for key, values in found.config.items()
        }
        metrics = {name: dict(zip(found.names, values, strict=True)) for name, values in found.metrics.items()}
        print_json(plain({"runs": found.names, "config": config, "metrics": metrics}))
        return
    rows = [(key, *map(shown, values)) for key, values in found.config.items()]
    rows.append(("",) * (1 + len(runs)))
    for name, values in found.metrics.items():
        marked = best(name, values)
        rows.append((name, *(_figure(value, place in marked) for place, value in enumerate(values))))
    print_table(("", *found.names), rows)


def _figure(value: float | None, is_best: bool) -> str:
    return "-" if value is None else f"{value:.6g}{' *' if is_best else ''}"
