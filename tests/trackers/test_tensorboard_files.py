"""Event files, read back with TensorBoard's own reader."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import pytest

from nanochat_framework.contracts.tracker import TrackedRun
from nanochat_framework.errors import UsageError
from nanochat_trackers.config import TensorBoardConfig
from nanochat_trackers.tensorboard_files import build_tensorboard

accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


def written(folder: Path, attempt: int, rewound_to: int, losses: dict[int, float]) -> None:
    tracker = build_tensorboard(TensorBoardConfig())
    tracker.open(TrackedRun("id", "run", folder, attempt, rewound_to), {"train": {"seed": 7}})
    for step, loss in losses.items():
        tracker.metrics(step, {"attempt": attempt, "step": step, "time": 100.0 + step, "tokens": 8, "train/loss": loss})
    last = max(losses)
    tracker.samples(last, [{"prompt_index": 0, "prompt": "<b>", "text": "bold\nline"}])
    tracker.event({"time": 1.0, "attempt": attempt, "kind": "alert", "step": last, "alert": "stall"})
    tracker.event({"time": 1.0, "attempt": attempt, "kind": "checkpoint", "step": last})
    tracker.close()
    tracker.close()


def read_back(folder: Path) -> Any:
    events = accumulator.EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return events


def text(events: Any, tag: str) -> str:
    return "".join(value.decode() for value in events.Tensors(f"{tag}/text_summary")[-1].tensor_proto.string_val)


def test_scalars_and_texts(tmp_path: Path) -> None:
    written(tmp_path, 1, 0, {10: 2.5, 20: math.nan, 30: 1.25})
    events = read_back(tmp_path)
    assert events.Tags()["scalars"] == ["train/loss"], "time, tokens and attempt are no metrics"
    found = events.Scalars("train/loss")
    assert [(scalar.step, scalar.wall_time) for scalar in found] == [(10, 110.0), (20, 120.0), (30, 130.0)]
    assert found[0].value == 2.5
    assert math.isnan(found[1].value)
    assert text(events, "samples/1") == "    <b>bold\n    line\n", "a block of code, so that it is shown as it is"
    assert '"seed": 7' in text(events, "configuration")
    assert "stall" in text(events, "events")


def test_rewound_steps_are_taken_back(tmp_path: Path) -> None:
    written(tmp_path, 1, 0, {10: 5.0, 20: 4.0, 30: 3.0, 40: 2.0})
    written(tmp_path, 2, 20, {30: 3.5})
    scalars = read_back(tmp_path).Scalars("train/loss")
    assert [(scalar.step, scalar.value) for scalar in scalars] == [(10, 5.0), (20, 4.0), (30, 3.5)]


def test_without_the_package_it_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.setattr("nanochat_trackers.tensorboard_files.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'nanochat-framework\[tensorboard\]'"):
        build_tensorboard(TensorBoardConfig())
