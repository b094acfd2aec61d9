"""Everything a report says of a run, read from its folder; what is missing or damaged is left out."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nanochat_framework.config.diff import Difference, differences
from nanochat_framework.config.load import load_config
from nanochat_framework.config.presets import preset_names
from nanochat_framework.errors import NanochatError
from nanochat_framework.plugins.registry import Registry
from nanochat_framework.report.held_out import SourceFacts, source_facts
from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.events import is_count, rewinds
from nanochat_framework.runs.jsonlines import Record, number, read
from nanochat_framework.runs.metrics import effective
from nanochat_framework.runs.summary import RunSummary, summarize


@dataclass(frozen=True)
class Attempt:
    """One start of the run: the step that it went on from, when it began and when it last wrote (seconds since 1970)."""

    number: int
    rewound_to: int
    began: float
    ended: float

    @property
    def seconds(self) -> float:
        """How long it ran."""
        return max(self.ended - self.began, 0.0)


@dataclass(frozen=True)
class Gathered:
    """A run's folder as data. `config` is the resolved configuration; lists are in the order of their files."""

    run: RunDirectory
    summary: RunSummary
    info: Mapping[str, Any]
    config: Mapping[str, Any]
    sources: tuple[tuple[str, str], ...]
    """The files of the configuration: what they were called, and their text."""
    components: tuple[Mapping[str, Any], ...]
    records: tuple[Record, ...]
    """One a step, by the attempt rule."""
    events: tuple[Record, ...]
    samples: tuple[Record, ...]
    attempts: tuple[Attempt, ...]
    data: tuple[SourceFacts, ...]
    preset: str | None
    changes: tuple[Difference, ...]
    """From the preset to this run's configuration."""
    parameters: int | None

    @property
    def seconds(self) -> float:
        """How long the run has trained, all attempts together."""
        return sum(attempt.seconds for attempt in self.attempts)

    def newest(self, metric: str) -> float | None:
        """The last finite value of a metric."""
        return next((value for _, value in reversed(self.values(metric)) if math.isfinite(value)), None)

    def values(self, metric: str) -> list[tuple[int, float]]:
        """(step, value) of a metric, in order."""
        found = ((record["step"], record.get(metric)) for record in self.records)
        return [(step, float(value)) for step, value in found if isinstance(value, int | float)]


def gather(run: RunDirectory, registry: Registry) -> Gathered:
    """Read a run's folder. Raises UsageError only if it has no readable run.json."""
    info = run.info()
    events = tuple(record for record in read(run.events) if isinstance(record.get("time"), int | float))
    raw = list(read(run.metrics))
    config = _json(run.config_resolved, dict)
    preset, changes = _changes(info, config, registry)
    return Gathered(
        run=run,
        summary=summarize(run),
        info=info,
        config=config,
        sources=_sources(run, info),
        components=tuple(row for row in _json(run.components_lock, list) if isinstance(row, dict)),
        records=tuple(effective(raw, rewinds(events))),
        events=events,
        samples=_samples(run, events),
        attempts=_attempts(events, raw),
        data=tuple(source_facts(source, run.path) for source in _configured_sources(config)),
        preset=preset,
        changes=changes,
        parameters=_parameters(run),
    )


def _json(path: Path, kind: type[Any]) -> Any:
    """What a JSON file holds, nothing of the kind where it cannot be read."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        data = json.loads(path.read_bytes())
        return data if isinstance(data, kind) else kind()
    return kind()


def _sources(run: RunDirectory, info: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    names = info.get("config_sources")
    names = [str(name) for name in names] if isinstance(names, list) else []
    found = []
    for position, path in enumerate(run.config_sources()):
        given = names[position] if position < len(names) else path.name
        found.append((given, path.read_text(encoding="utf-8", errors="replace")))
    return tuple(found)


def _changes(
    info: Mapping[str, Any], config: Mapping[str, Any], registry: Registry
) -> tuple[str | None, tuple[Difference, ...]]:
    """The preset that the configuration stands on, as it is now, and what differs from it."""
    names = info.get("config_sources") or [""]
    name = Path(str(names[-1])).stem.replace("_", "-")
    argv = info.get("argv")
    given = [str(word).replace("_", "-") for word in argv] if isinstance(argv, list) else []
    name = name if name in preset_names() else next((word for word in given if word in preset_names()), "")
    if not name or not config:
        return None, ()
    try:
        before = load_config(name, registry=registry).config.to_dict()
    except NanochatError:
        return None, ()
    found = differences(before, config)
    return name, tuple(each for each in found if each.path[0] in config)  # sections that are newer than the run


def _samples(run: RunDirectory, events: Sequence[Record]) -> tuple[Record, ...]:
    """Texts, but for those of steps that a later attempt went back over."""
    opened = list(rewinds(events))
    kept: dict[tuple[int, int], Record] = {}
    for sample in read(run.samples):
        step, attempt, index = sample.get("step"), sample.get("attempt"), sample.get("prompt_index")
        if not (is_count(step) and is_count(attempt) and is_count(index)):
            continue
        if not any(later > attempt and back < step for later, back in opened):
            kept[step, index] = sample
    return tuple(kept[key] for key in sorted(kept))


def _attempts(events: Sequence[Record], metrics: Sequence[Record]) -> tuple[Attempt, ...]:
    times: dict[int, list[float]] = {}
    for record in (*events, *metrics):
        attempt, at = record.get("attempt"), number(record.get("time"))
        if is_count(attempt) and isinstance(at, int | float) and math.isfinite(at):
            times.setdefault(attempt, []).append(float(at))
    opened = dict(rewinds(events))
    return tuple(Attempt(n, opened.get(n, 0), min(found), max(found)) for n, found in sorted(times.items()))


def _configured_sources(config: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    data = config.get("data")
    data = data if isinstance(data, dict) else {}
    several = data.get("sources")
    listed = [data.get("source"), *(several if isinstance(several, list) else [])]
    return [source for source in listed if isinstance(source, dict)]


def _parameters(run: RunDirectory) -> int | None:
    """The elements of all tensors in the newest checkpoint's weights, from the header of the file."""
    folders = sorted(run.checkpoints.glob("step_*"), reverse=True)
    for folder in (run.checkpoints / "final", *folders, run.checkpoints / "best"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            with (folder / "model.safetensors").open("rb") as file:
                header = json.loads(file.read(min(int.from_bytes(file.read(8), "little"), 100_000_000)))
            return sum(int(math.prod(entry["shape"])) for name, entry in header.items() if name != "__metadata__")
    return None
