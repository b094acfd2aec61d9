"""Reading metrics from the end gives what reading all of them gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nanochat_framework.runs import last_values as module
from nanochat_framework.runs.jsonlines import encode, lines_backwards
from nanochat_framework.runs.last_values import last_values
from nanochat_framework.runs.metrics import read_metrics


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(st.binary(max_size=30), max_size=30), st.booleans(), st.integers(1, 40))
def test_lines_from_the_end(tmp_path: Path, lines: list[bytes], torn: bool, chunk: int) -> None:
    lines = [line.replace(b"\n", b"") for line in lines]
    path = tmp_path / "lines"
    path.write_bytes(b"".join(line + b"\n" for line in lines) + (b"torn" if torn else b""))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nanochat_framework.runs.jsonlines._CHUNK", chunk)
        assert list(lines_backwards(path)) == lines[::-1]


attempts = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 12), st.booleans()), min_size=1, max_size=5
)  # how far back a start rewinds, how many steps it takes, whether the end is torn


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(attempts)
def test_they_are_those_of_the_attempt_rule(tmp_path: Path, schedule: list[tuple[int, int, bool]]) -> None:
    events, metrics, step = b"", b"", 0
    for attempt, (back, steps, torn) in enumerate(schedule, 1):
        step = max(0, step - back)
        events += encode({"attempt": attempt, "kind": "started" if attempt == 1 else "resumed", "rewound_to": step})
        for _ in range(steps):
            step += 1
            head = {"attempt": attempt, "step": step, "time": float(attempt), "tokens": step * 10}
            metrics += encode({**head, "train/loss": step + attempt / 10})
            if step % 4 == 0:
                metrics += encode({**head, "eval/loss": float("nan") if step == 8 else step - attempt / 10})
        metrics += b'{"attempt": 1, "ste\n' if torn else b""
    (tmp_path / "events.jsonl").write_bytes(events)
    (tmp_path / "metrics.jsonl").write_bytes(metrics)
    expected: dict[str, Any] = {}
    for record in read_metrics(tmp_path / "metrics.jsonl"):
        expected.update(record)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "RECENT_BYTES", 200)
        assert repr(sorted(last_values(tmp_path / "metrics.jsonl").items())) == repr(sorted(expected.items()))


def test_an_old_evaluation_is_found_and_nothing_else_is_read(tmp_path: Path) -> None:
    lines = [{"attempt": 1, "step": 1, "eval/loss": 2.0}, {"attempt": 1, "step": 2, "other/name": 1.0}]
    lines += [{"attempt": 1, "step": step, "train/loss": 1.0, "padding": "x" * 1000} for step in range(3, 2000)]
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = last_values(path)
    assert (found["step"], found["eval/loss"], found["train/loss"]) == (1999, 2.0, 1.0)
    assert "other/name" not in found


def test_no_file_has_no_values(tmp_path: Path) -> None:
    assert last_values(tmp_path / "metrics.jsonl") == {}
