"""What a run took: time, memory, energy and money; in a table, and among the key numbers."""

from __future__ import annotations

import statistics
from collections.abc import Mapping

from nanochat_framework.report.document import Figure, Figures, Section, table
from nanochat_framework.report.figures import compact, duration, score, size, whole
from nanochat_framework.report.gather import Gathered


def key_numbers(found: Gathered, price: float | None, baselines: Mapping[str, float]) -> Figures:
    """What a reader looks for first; `price` is that of an hour."""
    items = []
    bits, held_out, loss = (found.newest(f"{name}") for name in ("eval/bits_per_byte", "eval/loss", "train/loss"))
    if bits is not None:
        best = min(baselines, key=lambda name: baselines[name], default=None)
        note = f"{best} needs {baselines[best]:.3f}" if best else "held-out text"
        items.append(Figure("Bits per byte", score(bits), note))
    if held_out is not None:
        items.append(Figure("Held-out loss", score(held_out), "nats per token"))
    elif loss is not None:
        items.append(Figure("Training loss", score(loss), "nats per token; never evaluated"))
    items.append(Figure("Tokens", compact(found.summary.tokens), _per_parameter(found)))
    items.append(Figure("Time", duration(found.seconds), _attempts_note(found)))
    speed = _usual_speed(found)
    if speed:
        mfu = found.newest("train/mfu")
        items.append(Figure("Tokens per second", compact(speed), "" if mfu is None else f"{mfu:.0%} of the peak"))
    memory = _peak_memory(found)
    if memory:
        items.append(Figure("Peak memory", size(memory[1]), memory[0]))
    joules = found.newest("system/energy_joules")
    if joules:
        items.append(Figure("Energy", _energy(joules), _mean_power(joules, found)))
    if price is not None:
        items.append(Figure("Cost", f"{price * found.seconds / 3600:.2f}", f"at {price:g} an hour"))
    return Figures(tuple(items))


def speed_and_cost(found: Gathered, price: float | None) -> Section:
    """Speed, memory, energy, and money where an hour has a price."""
    rows = []
    speed = _usual_speed(found)
    if speed:
        rows.append(("tokens per second, usually", whole(speed)))
        if found.seconds > 1:
            overall = found.summary.tokens / found.seconds
            rows.append(("tokens per second, all time counted", whole(overall)))
    waited = found.newest("train/data_wait_seconds")
    if waited is not None:
        rows.append(("waited for data, newest attempt", duration(waited)))
    mfu = found.newest("train/mfu")
    if mfu is not None:
        rows.append(("share of the device's peak", f"{mfu:.1%}"))
    memory = _peak_memory(found)
    if memory:
        rows.append((f"peak memory, {memory[0]}", size(memory[1])))
    cores = [value for _, value in found.values("system/cpu_cores")]
    if cores:
        rows.append(("CPU cores kept busy, on average", f"{statistics.fmean(cores):.2f}"))
    joules = found.newest("system/energy_joules")
    if joules:
        rows.append(("energy of CPU packages and GPUs that count it", _energy(joules)))
        if found.summary.tokens:
            rows.append(("energy of a million tokens", _energy(1e6 * joules / found.summary.tokens)))
    if price is not None:
        cost = price * found.seconds / 3600
        rows.append(("cost", f"{cost:.2f} for {found.seconds / 3600:.2f} hours at {price:g}"))
        if found.summary.tokens:
            rows.append(("cost of a million tokens", compact(1e6 * cost / found.summary.tokens)))
    return Section("Speed and cost", (table(("what", "value"), rows, numbers=(1,)),) if rows else ())


def _per_parameter(found: Gathered) -> str:
    return f"{found.summary.tokens / found.parameters:.2g} per parameter" if found.parameters else ""


def _attempts_note(found: Gathered) -> str:
    return f"in {len(found.attempts)} attempts" if len(found.attempts) > 1 else ""


def _usual_speed(found: Gathered) -> float | None:
    speeds = [value for _, value in found.values("train/tokens_per_second")]
    return statistics.median(speeds[1:] or speeds) if speeds else None


def _peak_memory(found: Gathered) -> tuple[str, float] | None:
    """Where, and how many bytes: of the GPUs together where there are any, else of the process."""
    names = {key for record in found.records for key in record if key.startswith("system/gpu_memory_bytes.")}
    if names:
        return "GPU", sum(max(value for _, value in found.values(name)) for name in names)
    own = [value for _, value in found.values("system/memory_resident_bytes")]
    return ("process", max(own)) if own else None


def _energy(joules: float) -> str:
    return f"{compact(joules / 3.6e6)} kWh" if joules >= 36_000 else f"{compact(joules)} J"


def _mean_power(joules: float, found: Gathered) -> str:
    return f"{joules / found.seconds:.0f} W on average" if found.seconds > 1 else ""
