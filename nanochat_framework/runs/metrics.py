"""Metrics of a run: their names, how they are written, and the attempt rule by which they are read.

A record is flat: `{"attempt", "step", "time", "tokens", name: value, ...}`. Every start of a run raises `attempt`.

The attempt rule. If attempt b goes on from step k, then what any earlier attempt recorded for a step beyond k did not
happen, whether or not b has come that far again. What is left of one step is one record: its lines are merged, and
of two values under one name the later attempt's counts, then the later line's. docs/decisions/0008 has the reasons.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from nanochat_framework.runs.events import is_count, rewinds
from nanochat_framework.runs.jsonlines import JsonLinesWriter, Record, decode, nobody, number, read
from nanochat_framework.runs.outage import Outage, PatientWriter

DATA_PHASE = "data/phase"
EVAL_LOSS = "eval/loss"

KEYS = ("attempt", "step", "time", "tokens")
"""Keys of a record that are not metrics."""


@dataclass(frozen=True)
class Metric:
    """A metric's name, unit ("" for a pure number) and meaning; a last part in `<...>` stands for any name."""

    name: str
    unit: str
    summary: str


METRICS: dict[str, Metric] = {
    name: Metric(name, unit, summary)
    for name, unit, summary in (
        ("train/loss", "nats/token", "plain cross-entropy on the step's training tokens"),
        (
            "train/total_loss",
            "nats/token",
            "what is optimised: cross-entropy (of kept tokens) and all weighted objectives",
        ),
        ("train/entropy", "nats/token", "mean entropy of the predicted distribution"),
        ("train/grad_norm", "", "global L2 norm of the gradient before clipping"),
        ("train/tokens_per_second", "tokens/s", "training speed since the record before"),
        ("train/mfu", "", "model FLOPs utilisation: share of the device's peak, 0 to 1, where that is known or stated"),
        ("train/data_wait_seconds", "s", "time that this attempt has waited for data so far"),
        (
            "train/skipped_steps",
            "steps",
            "steps that changed no weight (not finite, or a spike), since the start of the run",
        ),
        ("train/loss_scale", "", "factor of the loss before backward, in fp16"),
        ("train/learning_rate/<group>", "", "learning rate that the step used, for one optimizer group"),
        ("train/tokens_kept", "", "share of the tokens that a token filter learned from, 0 to 1"),
        (
            "train/loss_kept",
            "nats/token",
            "what of train/loss the kept tokens have: their cross-entropy over all tokens",
        ),
        ("train/<objective>", "", "mean of one further objective by its name, unweighted"),
        ("data/epochs/<source>", "", "passes over one source's tokens so far, where several are mixed"),
        (DATA_PHASE, "", "number of the training's phase, from 0, where there are several"),
        (EVAL_LOSS, "nats/token", "cross-entropy on held-out tokens"),
        ("eval/perplexity", "", "exp(eval/loss)"),
        ("eval/bits_per_byte", "bits/byte", "cross-entropy per byte of held-out text, special tokens left out"),
        (
            "model/<reading>",
            "",
            "what a part of the model records of itself, `<reading>.<place>` where there are several places",
        ),
        ("system/cpu_cores", "cores", "CPU cores that the training process kept busy"),
        ("system/machine_cpu_cores", "cores", "CPU cores that all processes of the machine kept busy"),
        ("system/memory_resident_bytes", "bytes", "memory of the training process, resident set"),
        (
            "system/memory_available_bytes",
            "bytes",
            "memory that the process can still have without swapping, limits on it considered",
        ),
        ("system/disk_free_bytes", "bytes", "room on the run's disk"),
        ("system/energy_joules", "J", "energy since the run began, of the CPU packages and GPUs that count it"),
        ("system/gpu_busy_share", "", "share of the time that the GPU was busy, 0 to 1; `.<number>` follows"),
        ("system/gpu_memory_bytes", "bytes", "memory in use on the GPU; `.<number>` follows"),
        ("system/gpu_memory_total_bytes", "bytes", "memory that the GPU has; `.<number>` follows"),
        ("system/gpu_process_memory_bytes", "bytes", "memory of the training process on the GPU; `.<number>` follows"),
        ("system/gpu_power_watts", "W", "power that the GPU draws; `.<number>` follows"),
        ("system/gpu_temperature_celsius", "°C", "temperature of the GPU; `.<number>` follows"),
        ("system/<reading>", "", "one further reading of the machine; its name ends in its unit"),
    )
}

LOWER_IS_BETTER = frozenset(
    (
        "train/loss",
        "train/total_loss",
        "train/loss_kept",
        EVAL_LOSS,
        "eval/perplexity",
        "eval/bits_per_byte",
        "train/skipped_steps",
    )
)
HIGHER_IS_BETTER = frozenset(("train/tokens_per_second", "train/mfu"))


def describe(name: str) -> Metric | None:
    """What the table says of a metric's name, by itself, without its place, or by the entry for names of its kind."""
    for known in (name, name.partition(".")[0]):
        if known in METRICS:
            return METRICS[known]
    group = name.rpartition("/")[0]
    return next((metric for known, metric in METRICS.items() if known.startswith(f"{group}/<")), None)


class MetricsLog:
    """Writes metrics.jsonl. `listener` is called with every record after it is written."""

    def __init__(self, path: Path, attempt: int, outage: Outage | None = None) -> None:
        self._writer = JsonLinesWriter(path) if outage is None else PatientWriter(path, outage)
        self.attempt = attempt
        self.listener: Callable[[Record], None] = nobody

    def write(self, *, step: int, tokens: int, values: Mapping[str, float]) -> None:
        """Append one record: `values` by metric name, after `step` steps and `tokens` tokens.

        Without an `outage` raises DiskFull or OSError; with one, records wait until they can be written.
        """
        assert not set(values).intersection(KEYS), values
        record = {"attempt": self.attempt, "step": step, "time": time.time(), "tokens": tokens, **values}
        self._writer.write(record)
        self.listener(record)

    def sync(self) -> None:
        """Make all records so far durable; to be called before the checkpoint of a step is written."""
        self._writer.sync()

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._writer.close()


def read_metrics(path: Path) -> list[Record]:
    """One record a step, by step, as the attempt rule has it; values that are not finite are floats again.

    Reads events.jsonl beside the file for where each attempt went on from. Lines that are no record are passed over.
    """
    return effective(read(path), rewinds(read(path.with_name("events.jsonl"))))


def read_evaluations(path: Path) -> list[Record]:
    """As `read_metrics`, of the records alone that have a held-out loss; a long file costs little more than its bytes."""
    opened = dict(rewinds(read(path.with_name("events.jsonl"))))
    mark = f'"{EVAL_LOSS}"'.encode()
    try:
        with path.open("rb") as file:
            records = [record for line in file if mark in line and (record := decode(line))]
    except FileNotFoundError:
        return []
    if not all(record.get("attempt") in opened for record in records):
        return [record for record in read_metrics(path) if EVAL_LOSS in record]  # an event is lost
    return effective(records, opened.items())


def effective(records: Iterable[Record], opened: Iterable[tuple[int, int]]) -> list[Record]:
    """The attempt rule: records as they were written, and (attempt, step it goes on from) pairs, to one record a step.

    An attempt that has records and no such pair (its event was lost) is taken to go on from before its first record.
    """
    by_attempt: dict[int, dict[int, Record]] = {}
    for record in records:
        attempt, step = record.get("attempt"), record.get("step")
        if is_count(attempt) and is_count(step):
            by_attempt.setdefault(attempt, {}).setdefault(step, {}).update(record)
    begins = {attempt: min(steps) - 1 for attempt, steps in by_attempt.items()}
    begins.update(opened)
    happened: dict[int, Record] = {}
    for attempt in sorted(begins):
        happened = {step: record for step, record in happened.items() if step <= begins[attempt]}
        for step, record in by_attempt.get(attempt, {}).items():
            happened[step] = {**happened.get(step, {}), **record}
    return [{key: number(value) for key, value in happened[step].items()} for step in sorted(happened)]
