"""Runs side by side: where their configurations differ, and what they came to."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nanochat_framework.config.diff import ABSENT, differences
from nanochat_framework.config.toml_lines import Path, dotted
from nanochat_framework.errors import UsageError
from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.jsonlines import Record, is_number
from nanochat_framework.runs.last_values import last_values
from nanochat_framework.runs.metrics import HIGHER_IS_BETTER, LOWER_IS_BETTER


@dataclass(frozen=True)
class Comparison:
    """`names`: one for each run, no two alike. `config`: dotted key -> value in each run (`ABSENT` where a run has no such
    key), for keys that differ.

    `metrics`: metric -> newest value in each run, None where a run has none; `step` and `tokens` are among them.
    """

    names: tuple[str, ...]
    config: dict[str, tuple[Any, ...]]
    metrics: dict[str, tuple[float | None, ...]]


def compare(runs: Sequence[RunDirectory]) -> Comparison:
    """Compare runs with the first. Raises UsageError if a configuration cannot be read."""
    configs = [run.config() for run in runs]
    found: dict[Path, None] = {}
    for run, other in zip(runs[1:], configs[1:], strict=True):
        try:
            found.update(dict.fromkeys(difference.path for difference in differences(configs[0], other)))
        except RecursionError:
            raise UsageError(f"{run.config_resolved}: tables are nested too deep") from None
    whole = [path for path in found if not any(path[:length] in found for length in range(len(path)))]
    values = [last_values(run.metrics) for run in runs]
    return Comparison(
        names=_names(runs),
        config={dotted(path): tuple(_at(config, path) for config in configs) for path in whole},
        metrics={name: tuple(_figure(record, name) for record in values) for name in _metric_names(values)},
    )


def best(name: str, values: Sequence[float | None]) -> set[int]:
    """Which of the runs' values of a metric are the best; none where there is no better and worse, or they are alike."""
    sign = -1.0 if name in LOWER_IS_BETTER else 1.0 if name in HIGHER_IS_BETTER else 0.0
    known = {place: sign * value for place, value in enumerate(values) if value is not None and math.isfinite(value)}
    if not sign or len(known) < 2 or min(known.values()) == max(known.values()):
        return set()
    return {place for place, value in known.items() if value == max(known.values())}


def shown(value: Any) -> str:
    """A value of a configuration, or `-` where a run has none."""
    if value is ABSENT:
        return "-"
    if isinstance(value, dict):
        return "  ".join(f"{key} {shown(member)}" for key, member in value.items() if member is not None)
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value)


def _names(runs: Sequence[RunDirectory]) -> tuple[str, ...]:
    """What tells the runs apart: their names; the paths of those whose name another has, in another folder."""
    names = [run.name for run in runs]
    return tuple(run.name if names.count(run.name) == 1 else str(run.path) for run in runs)


def _at(config: Any, path: Path) -> Any:
    for part in path:
        try:
            config = config[part]
        except (KeyError, IndexError, TypeError):
            return ABSENT
    return config


def _figure(record: Record, name: str) -> float | None:
    value = record.get(name)
    return value if is_number(value) else None


def _metric_names(values: Sequence[Mapping[str, Any]]) -> list[str]:
    """`step` and `tokens`, then the metrics of all runs, training's first."""
    names: Record = {name: None for record in values for name in record if "/" in name}
    order = ("train/", "eval/")
    group = {name: next((i for i, start in enumerate(order) if name.startswith(start)), len(order)) for name in names}
    return ["step", "tokens", *sorted(names, key=lambda name: (group[name], name))]
