"""Metrics of a run: their names, how they are written, and the attempt rule by which they are read.

Every start of a run raises `attempt`. A record of attempt a at step k is superseded if a later attempt resumed from a step
before k: what was logged beyond the checkpoint is history that did not happen. Attempts and the step each one resumed
from are in events.jsonl (`started`, `resumed`), so the rule holds even before the later attempt has logged anything.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nanochat_framework.runs.events import attempts
from nanochat_framework.runs.jsonlines import JsonLinesWriter, read


@dataclass(frozen=True)
class Metric:
    """A metric's name, unit and meaning; `<...>` in a name stands for any word."""

    name: str
    unit: str
    summary: str


METRICS: tuple[Metric, ...] = (
    Metric("train/loss", "nats/token", "plain cross-entropy on the step's training tokens"),
    Metric("train/total_loss", "nats/token", "what is optimised: cross-entropy and all weighted objectives"),
    Metric("train/<objective>", "", "mean of one further objective, unweighted"),
    Metric("train/grad_norm", "", "global L2 norm of the gradient before clipping"),
    Metric("train/tokens_per_second", "tokens/s", "training speed since the last record"),
    Metric("train/data_wait_seconds", "s", "time this attempt has waited for data"),
    Metric("train/skipped_steps", "steps", "steps whose loss or gradient was not finite, since the start of the run"),
    Metric("train/learning_rate/<group>", "", "learning rate that the step used, for one optimizer group"),
    Metric("eval/loss", "nats/token", "cross-entropy on held-out tokens"),
    Metric("eval/perplexity", "", "exp(eval/loss)"),
    Metric("eval/bits_per_byte", "bits/byte", "cross-entropy per byte of held-out text, special tokens left out"),
)


class MetricsLog:
    """Writes metrics.jsonl: flat records `{"attempt", "step", "time", "tokens", name: value, ...}`."""

    def __init__(self, path: Path, attempt: int) -> None:
        self._writer = JsonLinesWriter(path)
        self.attempt = attempt

    def write(self, *, step: int, tokens: int, values: dict[str, float]) -> None:
        """Append one record."""
        self._writer.write({"attempt": self.attempt, "step": step, "time": time.time(), "tokens": tokens, **values})


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The records that count, by step: those of each step's last attempt, without what a resume rewound.

    Reads `events.jsonl` beside the file for where each attempt began.
    """
    began = list(attempts(path.with_name("events.jsonl")))

    def happened(record: dict[str, Any]) -> bool:
        return not any(later > record["attempt"] and record["step"] > after for later, after in began)

    records = [record for record in read(path) if "step" in record and "attempt" in record]
    return sorted(filter(happened, records), key=lambda record: (record["step"], record["time"]))
