"""An offline W&B run, read back from the file that it leaves, with W&B's own messages."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nanochat_framework.contracts.tracker import TrackedRun
from nanochat_framework.errors import UsageError
from nanochat_framework.runs.metrics import MetricsLog
from nanochat_trackers.config import WandbConfig
from nanochat_trackers.wandb_run import build_wandb

pytest.importorskip("wandb")
BLOCK, HEADER = 32768, 7


def messages(data: bytes) -> Iterator[Any]:
    """The records of a .wandb file: LevelDB's log format (crc, length, kind; whole = 1, last part = 4)."""
    from wandb.proto.wandb_internal_pb2 import Record

    place, parts = HEADER, b""
    while place + HEADER <= len(data):
        if BLOCK - place % BLOCK < HEADER:
            place += BLOCK - place % BLOCK
            continue
        length, kind = int.from_bytes(data[place + 4 : place + 6], "little"), data[place + 6]
        parts += data[place + HEADER : place + HEADER + length]
        place += HEADER + length
        if kind in (1, 4):
            yield Record.FromString(parts)
            parts = b""


def finished(folder: Path, number: int) -> list[Any]:
    """All records of the folder's n-th file; W&B's own process may still be writing its last ones."""
    deadline = time.monotonic() + 30
    while True:
        files = sorted(folder.glob("wandb/offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime_ns)
        found = list(messages(files[number].read_bytes())) if len(files) > number else []
        if found and found[-1].WhichOneof("record_type") == "exit":
            return found
        assert time.monotonic() < deadline, "the file has no end"
        time.sleep(0.05)


def rows(found: list[Any]) -> list[dict[str, Any]]:
    """The history, as W&B would draw it."""
    items = [record.history.item for record in found if record.WhichOneof("record_type") == "history"]
    return [{"".join(item.nested_key) or item.key: json.loads(item.value_json) for item in row} for row in items]


def track(folder: Path, attempt: int, rewound_to: int, losses: dict[int, float]) -> None:
    tracker = build_wandb(WandbConfig(project="p", tags=("t",)))
    tracker.open(TrackedRun("0123456789ab", "first", folder, attempt, rewound_to), {"train": {"seed": 7}})
    log = MetricsLog(folder / "metrics.jsonl", attempt)
    log.listener = lambda record: tracker.metrics(record["step"], record)
    for step, loss in losses.items():
        log.write(step=step, tokens=8, values={"train/loss": loss})
    tracker.samples(max(losses), [{"prompt_index": 0, "prompt": "a", "text": "b"}])
    tracker.event({"kind": "alert", "alert": "stall", "message": "no step"})
    tracker.close()
    tracker.close()


def test_a_run_and_its_resume(tmp_path: Path) -> None:
    track(tmp_path, 1, 0, {10: 5.0, 20: 4.0, 30: 3.0})
    found = finished(tmp_path, 0)
    (run,) = [record.run for record in found if record.WhichOneof("record_type") == "run"]
    assert (run.run_id, run.display_name, run.project, list(run.tags)) == ("0123456789ab", "first", "p", ["t"])
    assert {item.key: item.value_json for item in run.config.update}["train"] == '{"seed":7}'
    assert [(row["_step"], row["step"], row["train/loss"]) for row in rows(found)] == [
        (1, 10, 5),
        (2, 20, 4),
        (3, 30, 3),
    ]
    assert [r.alert.text for r in found if r.WhichOneof("record_type") == "alert"] == ["no step"]
    (metric,) = [r.metric for r in found if r.WhichOneof("record_type") == "metric" and r.metric.glob_name]
    assert (metric.glob_name, metric.step_metric) == ("*", "step")

    track(tmp_path, 2, 20, {30: 3.5})
    again = finished(tmp_path, 1)
    assert {record.run.run_id for record in again if record.WhichOneof("record_type") == "run"} == {"0123456789ab"}
    assert [(row["_step"], row["step"], row["attempt"], row["train/loss"]) for row in rows(again)] == [(4, 30, 2, 3.5)]


def test_without_the_package_it_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nanochat_trackers.wandb_run.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'nanochat-framework\[wandb\]'"):
        build_wandb(WandbConfig())
