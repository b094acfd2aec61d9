"""Readings of a machine as lines: a name, a bar where there is a whole to compare with, and the numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from nanochat_tui.charts.ticks import short

NEARLY_ALL = 0.95
"""From this share on memory and disks are shown as an alert."""
_GPU = re.compile(r"gpu_\w+\.(.+)")


@dataclass(frozen=True)
class Figure:
    """A line. `share` is what the bar shows, None where the whole is not known; `full`: it runs out."""

    name: str
    part: str
    text: str
    share: float | None = None
    full: bool = False


def size(value: float) -> str:
    """Bytes: `610.3 MB`."""
    text = short(value)
    return f"{text[:-1]} {text[-1]}B" if text[-1:].isalpha() and value < 1e15 else f"{text} B"


def figures(readings: Mapping[str, float]) -> list[Figure]:
    """What readings (of `live`, or metrics without `system/`) tell; what they do not tell has no line."""
    return [*_cpu(readings), *_memory(readings), *_disk(readings), *_threads(readings), *_gpus(readings)]


def _cpu(r: Mapping[str, float]) -> Iterator[Figure]:
    cores = r.get("machine_cores")
    for part, name in (("process", "cpu_cores"), ("machine", "machine_cpu_cores")):
        if name in r:
            of = f"of {cores:.0f} cores" if cores else "cores"
            yield Figure("CPU", part, f"{r[name]:.2f} {of}", r[name] / cores if cores else None)


def _memory(r: Mapping[str, float]) -> Iterator[Figure]:
    total, left = r.get("memory_total_bytes"), r.get("memory_available_bytes")
    if "memory_resident_bytes" in r:
        own = r["memory_resident_bytes"]
        yield Figure("memory", "process", size(own), own / total if total else None)
    if left is not None and total:
        share = 1 - left / total
        yield Figure("memory", "machine", f"{size(left)} left of {size(total)}", share, share >= NEARLY_ALL)
    elif left is not None:
        yield Figure("memory", "machine", f"{size(left)} left")


def _disk(r: Mapping[str, float]) -> Iterator[Figure]:
    free, total = r.get("disk_free_bytes"), r.get("disk_total_bytes")
    if free is not None and total:
        share = 1 - free / total
        yield Figure("disk", "run's", f"{size(free)} left of {size(total)}", share, share >= NEARLY_ALL)
    elif free is not None:
        yield Figure("disk", "run's", f"{size(free)} left")
    if "written_bytes_per_second" in r:
        text = f"writes {size(r['written_bytes_per_second'])}/s, reads {size(r['read_bytes_per_second'])}/s"
        yield Figure("disk", "process", text)


def _threads(r: Mapping[str, float]) -> Iterator[Figure]:
    if "threads" in r:
        count = int(r["processes"])
        yield Figure("threads", "process", f"{r['threads']:.0f} in {count} process{'es' * (count != 1)}")
    if "energy_joules" in r:
        joules = r["energy_joules"]
        yield Figure("energy", "so far", f"{short(joules)} J = {short(joules / 3600)} Wh")


def _gpus(r: Mapping[str, float]) -> Iterator[Figure]:
    """Two lines a device: how busy it is, and its memory, with the part of it that is the training's."""
    for place in sorted({found[1] for name in r if (found := _GPU.fullmatch(name))}, key=lambda p: (len(p), p)):
        busy, used = r.get(f"gpu_busy_share.{place}"), r.get(f"gpu_memory_bytes.{place}")
        total, own = r.get(f"gpu_memory_total_bytes.{place}"), r.get(f"gpu_process_memory_bytes.{place}")
        watts, celsius = r.get(f"gpu_power_watts.{place}"), r.get(f"gpu_temperature_celsius.{place}")
        facts = [
            "" if busy is None else f"{busy:.0%} busy",
            "" if watts is None else f"{watts:.0f} W",
            "" if celsius is None else f"{celsius:.0f} °C",
        ]
        if any(facts):
            yield Figure(f"GPU {place}", "device", "  ".join(fact for fact in facts if fact), busy)
        if used is not None:
            share = used / total if total else None
            text = f"{size(used)} of {size(total)}" if total else size(used)
            yield Figure(f"GPU {place}", "memory", text, share, share is not None and share >= NEARLY_ALL)
        if own is not None:
            yield Figure(f"GPU {place}", "process", size(own), own / total if total else None)
