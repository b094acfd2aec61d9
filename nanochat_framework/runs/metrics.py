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

TRAIN_LOSS = "train/loss"
TRAIN_TOTAL_LOSS = "train/total_loss"
TRAIN_ENTROPY = "train/entropy"
TRAIN_GRAD_NORM = "train/grad_norm"
TRAIN_TOKENS_PER_SECOND = "train/tokens_per_second"
TRAIN_MFU = "train/mfu"
TRAIN_DATA_WAIT_SECONDS = "train/data_wait_seconds"
TRAIN_SKIPPED_STEPS = "train/skipped_steps"
TRAIN_LOSS_SCALE = "train/loss_scale"
TRAIN_LEARNING_RATE = "train/learning_rate/<group>"
TRAIN_TOKENS_KEPT = "train/tokens_kept"
TRAIN_LOSS_KEPT = "train/loss_kept"
TRAIN_OBJECTIVE = "train/<objective>"
DATA_EPOCHS = "data/epochs/<source>"
DATA_PHASE = "data/phase"
EVAL_LOSS = "eval/loss"
EVAL_PERPLEXITY = "eval/perplexity"
EVAL_BITS_PER_BYTE = "eval/bits_per_byte"
MODEL = "model/<reading>"
SYSTEM_CPU_CORES = "system/cpu_cores"
SYSTEM_MACHINE_CPU_CORES = "system/machine_cpu_cores"
SYSTEM_MEMORY_RESIDENT = "system/memory_resident_bytes"
SYSTEM_MEMORY_AVAILABLE = "system/memory_available_bytes"
SYSTEM_DISK_FREE = "system/disk_free_bytes"
SYSTEM_ENERGY = "system/energy_joules"
SYSTEM_GPU_BUSY = "system/gpu_busy_share"
SYSTEM_GPU_MEMORY = "system/gpu_memory_bytes"
SYSTEM_GPU_MEMORY_TOTAL = "system/gpu_memory_total_bytes"
SYSTEM_GPU_PROCESS_MEMORY = "system/gpu_process_memory_bytes"
SYSTEM_GPU_POWER = "system/gpu_power_watts"
SYSTEM_GPU_TEMPERATURE = "system/gpu_temperature_celsius"
SYSTEM = "system/<reading>"

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
        (TRAIN_LOSS, "nats/token", "plain cross-entropy on the step's training tokens"),
        (
            TRAIN_TOTAL_LOSS,
            "nats/token",
            "what is optimised: cross-entropy (of kept tokens) and all weighted objectives",
        ),
        (TRAIN_ENTROPY, "nats/token", "mean entropy of the predicted distribution"),
        (TRAIN_GRAD_NORM, "", "global L2 norm of the gradient before clipping"),
        (TRAIN_TOKENS_PER_SECOND, "tokens/s", "training speed since the record before"),
        (TRAIN_MFU, "", "model FLOPs utilisation: share of the device's peak, 0 to 1, where that is known or stated"),
        (TRAIN_DATA_WAIT_SECONDS, "s", "time that this attempt has waited for data so far"),
        (
            TRAIN_SKIPPED_STEPS,
            "steps",
            "steps that changed no weight (not finite, or a spike), since the start of the run",
        ),
        (TRAIN_LOSS_SCALE, "", "factor of the loss before backward, in fp16"),
        (TRAIN_LEARNING_RATE, "", "learning rate that the step used, for one optimizer group"),
        (TRAIN_TOKENS_KEPT, "", "share of the tokens that a token filter learned from, 0 to 1"),
        (TRAIN_LOSS_KEPT, "nats/token", "what of train/loss the kept tokens have: their cross-entropy over all tokens"),
        (TRAIN_OBJECTIVE, "", "mean of one further objective by its name, unweighted"),
        (DATA_EPOCHS, "", "passes over one source's tokens so far, where several are mixed"),
        (DATA_PHASE, "", "number of the training's phase, from 0, where there are several"),
        (EVAL_LOSS, "nats/token", "cross-entropy on held-out tokens"),
        (EVAL_PERPLEXITY, "", "exp(eval/loss)"),
        (EVAL_BITS_PER_BYTE, "bits/byte", "cross-entropy per byte of held-out text, special tokens left out"),
        (MODEL, "", "what a part of the model records of itself, `<reading>.<place>` where there are several places"),
        (SYSTEM_CPU_CORES, "cores", "CPU cores that the training process kept busy"),
        (SYSTEM_MACHINE_CPU_CORES, "cores", "CPU cores that all processes of the machine kept busy"),
        (SYSTEM_MEMORY_RESIDENT, "bytes", "memory of the training process, resident set"),
        (
            SYSTEM_MEMORY_AVAILABLE,
            "bytes",
            "memory that the process can still have without swapping, limits on it considered",
        ),
        (SYSTEM_DISK_FREE, "bytes", "room on the run's disk"),
        (SYSTEM_ENERGY, "J", "energy since the run began, of the CPU packages and GPUs that count it"),
        (SYSTEM_GPU_BUSY, "", "share of the time that the GPU was busy, 0 to 1; `.<number>` follows"),
        (SYSTEM_GPU_MEMORY, "bytes", "memory in use on the GPU; `.<number>` follows"),
        (SYSTEM_GPU_MEMORY_TOTAL, "bytes", "memory that the GPU has; `.<number>` follows"),
        (SYSTEM_GPU_PROCESS_MEMORY, "bytes", "memory of the training process on the GPU; `.<number>` follows"),
        (SYSTEM_GPU_POWER, "W", "power that the GPU draws; `.<number>` follows"),
        (SYSTEM_GPU_TEMPERATURE, "°C", "temperature of the GPU; `.<number>` follows"),
        (SYSTEM, "", "one further reading of the machine; its name ends in its unit"),
    )
}

LOWER_IS_BETTER = frozenset(
    (TRAIN_LOSS, TRAIN_TOTAL_LOSS, TRAIN_LOSS_KEPT, EVAL_LOSS, EVAL_PERPLEXITY, EVAL_BITS_PER_BYTE, TRAIN_SKIPPED_STEPS)
)
HIGHER_IS_BETTER = frozenset((TRAIN_TOKENS_PER_SECOND, TRAIN_MFU))


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
