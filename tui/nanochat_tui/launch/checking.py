"""What `nanochat config check` and `nanochat plan` say of a draft; how fast this machine trained something like it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nanochat_framework.errors import NanochatError, UsageError
from nanochat_framework.planning.sizes import format_count, format_duration, format_size
from nanochat_framework.runs.process import host_name
from nanochat_framework.runs.summary import RunSummary
from nanochat_tui.commands import answer, ask
from nanochat_tui.launch.draft import Draft

N_RUNS = 40
"""So many of the newest runs are looked at for a speed."""
ALIKE = ("model", "quantizer", "objective", "optimizer", "hardware")
"""Sections that decide the speed, beside the precision, the micro-batch and the length of a sequence."""


@dataclass(frozen=True)
class Problem:
    """`key` is the setting that it is about, as far as that is known; `line` is what the command prints."""

    key: str
    message: str
    line: str


@dataclass(frozen=True)
class Verdict:
    """What a check said."""

    problems: tuple[Problem, ...]
    warnings: tuple[str, ...]
    values: tuple[Mapping[str, Any], ...]


async def check(draft: Draft) -> Verdict:
    """Check a draft in a process of its own. Raises NanochatError if the command fails."""
    found, complaint = await answer("config", "check", draft.target, "--json", *draft.sets())
    if not isinstance(found, dict):
        raise NanochatError(complaint)
    return Verdict(
        tuple(_problem(each) for each in found["problems"]), tuple(found["warnings"]), tuple(found["values"])
    )


def _problem(facts: Mapping[str, str]) -> Problem:
    where, path, message = facts["where"], facts["path"], facts["message"]
    key = path or where.removeprefix("--set ").partition("=")[0] if where.startswith("--set") else path
    return Problem(key, message, ": ".join(part for part in (where, path, message) if part))


@dataclass(frozen=True)
class Speed:
    """Tokens per second, and what that rests on; `flops`: operations per token of the run that it was measured in."""

    tokens_per_second: float
    source: str
    run: Path
    same: bool


def known_speed(runs: Sequence[RunSummary], data: Mapping[str, Any]) -> Speed | None:
    """The speed of the newest run on this machine that computes the same, else of the newest one on the same device.

    None where nothing like it was trained here.
    """
    here = [run for run in runs if run.tokens_per_second and run.host == host_name()]
    here.sort(key=lambda run: run.created or 0.0, reverse=True)
    other: Speed | None = None
    for run in here[:N_RUNS]:
        try:
            config = run.run.config()
        except UsageError:
            continue
        assert run.tokens_per_second is not None
        if _get(config, "hardware") != _get(data, "hardware"):
            continue
        speed, path = run.tokens_per_second, Path(run.path)
        if all(_get(config, each) == _get(data, each) for each in ALIKE) and _shape(config) == _shape(data):
            return Speed(speed, f"as {run.name} had here", path, same=True)
        if other is None and _get(config, "train", "precision") == _get(data, "train", "precision"):
            other = Speed(speed, f"{run.name}'s, by FLOPs", path, same=False)
    return other


def _shape(data: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(_get(data, *at) for at in (("train", "precision"), ("train", "batch_size"), ("data", "seq_len")))


def _get(data: Any, *path: str) -> Any:
    for part in path:
        data = data.get(part) if isinstance(data, Mapping) else None
    return _without_empty(data)


def _without_empty(value: Any) -> Any:
    """The same without empty tables and arrays, which say nothing; None for one of those."""
    if isinstance(value, Mapping):
        inner = {key: _without_empty(each) for key, each in value.items()}
        return {key: each for key, each in inner.items() if each is not None} or None
    if isinstance(value, list):
        return [_without_empty(each) for each in value] or None
    return value


class Planner:
    """Asks for plans; those of runs, which do not change, are asked for once."""

    def __init__(self) -> None:
        self._flops: dict[Path, float] = {}

    async def estimate(self, draft: Draft, speed: Speed | None) -> list[tuple[str, str]]:
        """Rows of what a draft costs: (what, figure). Raises NanochatError with the command's line."""
        given = ["--tokens-per-second", f"{speed.tokens_per_second:.6g}"] if speed and speed.same else []
        plan = await ask("plan", draft.target, "--json", *draft.sets(), *given)
        rows = [*_size(plan), ("run", _length(plan))]
        rows.append(("time", await self._time(plan, speed)))
        disk = plan["disk"]
        return [*rows, ("disk", f"{format_size(disk['checkpoints_bytes'])} of checkpoints")]

    async def _time(self, plan: Mapping[str, Any], speed: Speed | None) -> str:
        if speed is None:
            return "not known: nothing was trained here yet"
        rate = speed.tokens_per_second
        if not speed.same:
            if speed.run not in self._flops:
                reference = await ask("plan", str(speed.run), "--json")
                self._flops[speed.run] = reference["flops_per_token"]["training"]
            rate *= self._flops[speed.run] / plan["flops_per_token"]["training"]
        seconds = plan["duration"]["seconds"] if plan["duration"] else plan["run"]["tokens"] / rate
        return f"{format_duration(seconds)} at {format_count(rate)} tokens/s, {speed.source}"


def _size(plan: Mapping[str, Any]) -> list[tuple[str, str]]:
    parameters, memory = plan["parameters"], plan["memory"]
    rows = [("parameters", f"{parameters['total']:,}")]
    if parameters["active"] < parameters["total"]:
        rows.append(("active", f"{parameters['active']:,} for a token"))
    size = plan["run"]["phases"][-1]["batch_size"]
    found = next((row for row in memory["rows"] if row["batch_size"] == size), None)
    if found is not None:
        more = "" if memory["complete"] else " and the optimizer's state"
        rows.append(("memory", f"{format_size(found['total_bytes'])}{more} on {memory['device']}, batches of {size}"))
    return rows


def _length(plan: Mapping[str, Any]) -> str:
    run = plan["run"]
    return (
        f"{run['steps']:,} steps, {format_count(run['tokens'])} tokens, {run['tokens_per_parameter']:.3g} a parameter"
    )
