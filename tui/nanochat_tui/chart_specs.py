"""Which metrics stand in which chart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nanochat_framework.runs.metrics import describe

MAX_CURVES = 7
MAX_READINGS = 12
"""Charts of what a model's parts record; a file may name any number."""
_MODEL = "model/"


@dataclass(frozen=True)
class ChartSpec:
    """A chart: its title, and (metric, label) of its curves."""

    title: str
    metrics: tuple[tuple[str, str], ...]
    log_wanted: bool = False
    """Whether the key for logarithmic axes is meant for it."""
    spread_of: tuple[str, ...] = ()
    """Metrics too many for a curve each: their highest, mean and lowest are the curves; `metrics` is empty then."""


def _starting_with(names: Iterable[str], *prefixes: str) -> tuple[tuple[str, str], ...]:
    found = [
        (name, name[len(prefix) :].lstrip(".") or name)
        for prefix in prefixes
        for name in names
        if name.startswith(prefix)
    ]
    return tuple(found[:MAX_CURVES])


def standard(names: Iterable[str]) -> list[ChartSpec]:
    """The charts that every run has, of metrics that there are."""
    names = sorted(names)
    memory = [("system/memory_resident_bytes", "RAM")] if "system/memory_resident_bytes" in names else []
    memory += [(name, f"GPU {place}".strip()) for name, place in _starting_with(names, "system/gpu_memory_bytes")]
    wanted = [
        ChartSpec("loss  nats/token", (("train/loss", "train"), ("eval/loss", "held-out")), True),
        ChartSpec("bits per byte  held-out", (("eval/bits_per_byte", "held-out"),)),
        ChartSpec("learning rate", _starting_with(names, "train/learning_rate/"), True),
        ChartSpec("gradient norm", (("train/grad_norm", "norm"),), True),
        ChartSpec("speed  tokens/s", (("train/tokens_per_second", "speed"),)),
        ChartSpec("memory  bytes", tuple(memory[:MAX_CURVES])),
    ]
    return [*_present(wanted, names), *_readings(names)]


def _readings(names: Sequence[str]) -> list[ChartSpec]:
    """A chart for each thing that the model's parts record of themselves (experts' loads, streams, ...), over all its places."""
    found: dict[str, list[str]] = {}
    for name in names:
        if name.startswith(_MODEL):
            found.setdefault(name.partition(".")[0], []).append(name)
    specs = []
    for reading, members in list(found.items())[:MAX_READINGS]:
        members.sort(key=_by_place)
        title = reading.removeprefix(_MODEL).replace("_", " ")
        if len(members) > MAX_CURVES:
            specs.append(ChartSpec(f"{title}  of {len(members)}", (), spread_of=tuple(members)))
        else:
            specs.append(ChartSpec(title, tuple((name, name.partition(".")[2] or title) for name in members)))
    return specs


def _by_place(name: str) -> list[tuple[int, str]]:
    """Places by their numbers: 2 before 10."""
    return [(int(part) if part.isdecimal() else -1, part) for part in name.split(".")]


def system(names: Iterable[str]) -> list[ChartSpec]:
    """The charts of what a training takes of its machine, of metrics that there are."""
    names = sorted(names)
    gpu = "system/gpu_"
    own = [(name, f"{label} process") for name, label in _starting_with(names, f"{gpu}process_memory_bytes")]
    wanted = [
        ChartSpec("CPU  cores", (("system/cpu_cores", "process"), ("system/machine_cpu_cores", "machine"))),
        ChartSpec(
            "memory  bytes", (("system/memory_resident_bytes", "process"), ("system/memory_available_bytes", "left"))
        ),
        ChartSpec("disk  bytes left", (("system/disk_free_bytes", "left"),)),
        ChartSpec("GPU  share busy", _starting_with(names, f"{gpu}busy_share")),
        ChartSpec("GPU memory  bytes", (*_starting_with(names, f"{gpu}memory_bytes"), *own)[:MAX_CURVES]),
        ChartSpec("GPU power  W", _starting_with(names, f"{gpu}power_watts")),
        ChartSpec("GPU temperature  °C", _starting_with(names, f"{gpu}temperature_celsius")),
        ChartSpec("energy  J", (("system/energy_joules", "so far"),)),
    ]
    return _present(wanted, names)


def _present(wanted: Iterable[ChartSpec], names: Iterable[str]) -> list[ChartSpec]:
    """The charts, with those of their metrics that there are."""
    known = set(names)
    specs = [ChartSpec(p.title, tuple(m for m in p.metrics if m[0] in known), p.log_wanted) for p in wanted]
    return [spec for spec in specs if spec.metrics]


def single(name: str) -> ChartSpec:
    """A chart of one metric."""
    metric = describe(name)
    unit = f"  {metric.unit}" if metric and metric.unit else ""
    return ChartSpec(f"{name}{unit}", ((name, name.rpartition("/")[2]),))


def others(names: Iterable[str]) -> list[str]:
    """Metrics that no standard chart shows."""
    names = list(names)
    shown = {name for spec in standard(names) for name, _ in spec.metrics}
    return sorted(set(names) - shown)
