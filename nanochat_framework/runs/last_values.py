"""The newest value of every metric, found from the end of the file: a million lines cost no more than a thousand."""

from __future__ import annotations

import functools
import math
from pathlib import Path

from nanochat_framework.runs.events import is_count, rewinds
from nanochat_framework.runs.jsonlines import Record, decode, lines_backwards, number, read
from nanochat_framework.runs.metrics import EVAL_LOSS

RECENT_BYTES = 1 << 20
"""So many bytes of the newest records are read for every metric; what is older is looked through for evaluations only."""
_EVALUATED = f'"{EVAL_LOSS}"'.encode()


def last_values(path: Path) -> Record:
    """Metric -> newest value in a metrics.jsonl, with the `attempt`, `step`, `tokens` and `time` of the newest record.

    By the attempt rule (`runs.metrics`), with the events beside the file. A metric whose newest value is older than
    RECENT_BYTES of records is missing, unless it comes with an evaluation. Empty without records.
    """
    opened = dict(rewinds(read(path.with_name("events.jsonl"))))

    @functools.cache
    def limit(attempt: int) -> float:
        """The step beyond which what an attempt recorded does not count."""
        return min((begins for later, begins in opened.items() if later > attempt), default=math.inf)

    values: Record = {}
    seen = 0
    for line in lines_backwards(path):
        if seen > RECENT_BYTES:
            if EVAL_LOSS in values:
                break
            if _EVALUATED not in line:
                continue
        record = decode(line + b"\n") or {}
        attempt, step = record.get("attempt"), record.get("step")
        if is_count(attempt) and is_count(step) and step <= limit(attempt):
            seen += len(line)
            for key, value in record.items():
                values.setdefault(key, number(value))
    return values
