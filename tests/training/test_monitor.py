"""`[monitor]` in real runs: readings beside the training metrics, and alerts, also of a loop that is stuck."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from nanochat_framework.cli import main
from nanochat_framework.runs.control import Request, send
from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.jsonlines import read
from nanochat_framework.runs.metrics import read_metrics
from nanochat_framework.runs.status import read_status
from nanochat_framework.training.alerts import LossWatch
from nanochat_framework.training.monitor import _summary
from nanochat_framework.training.train_module import StepResult, TrainModule
from tests.conftest import tiny_dict


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., Path]:
    """Train a tiny model with a `[monitor]`; the run's folder."""

    def run(*options: str, **monitor: Any) -> Path:
        table = tiny_dict(train__steps=12, checkpoint={"every": 6}, train__log_every=4, monitor=monitor)
        (tmp_path / "tiny.toml").write_text(tomli_w.dumps(table))
        arguments = ["--run", "one", "--runs-dir", str(tmp_path), "--quiet", *options]
        assert main(["train", str(tmp_path / "tiny.toml"), *arguments]) == 0
        return tmp_path / "one"

    return run


def alerts(run: Path) -> list[dict[str, Any]]:
    return [event for event in read(run / "events.jsonl") if event["kind"] == "alert"]


def stepping(monkeypatch: pytest.MonkeyPatch, change: Callable[[StepResult], None]) -> None:
    """Have every step's result go through a function first."""
    step = TrainModule.step

    def changed(self: TrainModule, batches: Any, number: int) -> StepResult:
        result = step(self, batches, number)
        change(result)
        return result

    monkeypatch.setattr(TrainModule, "step", changed)


def test_readings_join_the_records_that_are_there(train: Callable[..., Path]) -> None:
    run = train()
    records = read_metrics(run / "metrics.jsonl")
    assert [record["step"] for record in records] == [1, 4, 8, 12]
    assert all("train/loss" in record for record in records)
    last = {key: value for key, value in records[-1].items() if key.startswith("system/")}
    assert last["system/memory_resident_bytes"] > 50e6, "torch is loaded"
    assert last["system/disk_free_bytes"] > 0
    assert last["system/cpu_cores"] > 0
    assert not alerts(run)


def test_zero_seconds_turn_it_off(train: Callable[..., Path]) -> None:
    run = train(every_seconds=0.0)
    assert not any(key.startswith("system/") for record in read_metrics(run / "metrics.jsonl") for key in record)


def test_a_stuck_loop_is_noticed_while_it_is_stuck(
    train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def stuck(result: StepResult) -> None:
        if result.step == 8:
            deadline = time.monotonic() + 60
            while not alerts(tmp_path / "one") and time.monotonic() < deadline:
                time.sleep(0.02)

    stepping(monkeypatch, stuck)
    run = train(every_seconds=0.02, stall_factor=2.0, stall_seconds=0.5)
    (alert,) = alerts(run)
    assert (alert["alert"], alert["step"]) == ("stall", 7)
    assert alert["silent_seconds"] > 0.5
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith("alert: nothing has happened for ")]
    assert [line for line in lines if line.startswith("going on after ")]


def test_a_pause_is_no_stall(train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Paused for three times what would be a stall, by a request as `nanochat runs pause` sends it."""
    run = RunDirectory(tmp_path / "one")

    def go_on() -> None:
        while (status := read_status(run.status)) is None or status.state != "paused":
            time.sleep(0.02)
        time.sleep(1.5)
        send(run, Request("unpause"))

    def ask(result: StepResult) -> None:
        if result.step == 6:
            send(run, Request("pause"))
            threading.Thread(target=go_on, daemon=True).start()

    stepping(monkeypatch, ask)
    train(every_seconds=0.02, stall_factor=2.0, stall_seconds=0.5)
    told = [event["command"] for event in read(run.events) if event.get("answer") == "done"]
    assert told == ["pause", "unpause"]
    assert not [alert for alert in alerts(run.path) if alert["step"] == 6], "after which it was paused"


def test_skipped_steps_and_a_rising_loss(
    train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("nanochat_framework.training.monitor.LossWatch", _Quick)

    def change(result: StepResult) -> None:
        if result.step in (3, 4):
            result.skipped = "not_finite"
        if result.step > 6:
            result.losses["loss"] = 50.0 + result.step

    stepping(monkeypatch, change)
    run = train(loss_rise=2.0)
    kinds = [(alert["alert"], alert["step"]) for alert in alerts(run)]
    assert kinds == [("skipped", 3), ("divergence", 7)], "each is told once"
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("alert")]
    assert said[0] == "alert: step 3 changed no weight: the loss or gradient was not finite (1 such steps so far)"
    assert said[1].startswith("alert: the loss has risen to ")


class _Quick(LossWatch):
    """Judges from the third step on, so that a run of twelve is enough."""

    def __init__(self, rise: float) -> None:
        super().__init__(rise, settle=3)


def test_a_full_disk_is_told_before_it_is_full(train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    stepping(monkeypatch, lambda result: time.sleep(0.05))
    run = train(every_seconds=0.02, disk_free_gb=1e9)
    (alert,) = alerts(run)
    assert (alert["alert"], alert["needed_bytes"]) == ("disk", 1e18)


def test_energy_goes_on_after_a_resume(
    train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    zone = tmp_path / "powercap" / "intel-rapl:0"
    zone.mkdir(parents=True)
    (zone / "energy_uj").write_text("0")
    monkeypatch.setattr("nanochat_framework.training.machine_readings._POWERCAP", zone.parent)
    counter = zone / "energy_uj"  # one joule more with every step
    stepping(monkeypatch, lambda result: counter.write_text(f"{int(counter.read_text()) + 1_000_000}") and None)
    run = train(every_seconds=0.01)
    assert main(["resume", str(run), "--from", "step_00000006", "--quiet"]) == 0
    saved = json.loads((run / "checkpoints" / "superseded" / "step_00000012" / "meta.json").read_text())
    assert saved["callbacks"]["MonitorCallback"]["energy_joules"] == 12
    joules = [record.get("system/energy_joules") for record in read_metrics(run / "metrics.jsonl")]
    assert joules[-1] is not None
    assert 8 <= joules[-1] <= 12, "up to step 6, by a reading that may be a few steps old, then six more"


def test_several_readings_become_one() -> None:
    assert _summary("system/cpu_cores", [1.0, 3.0]) == 2.0
    assert _summary("system/gpu_busy_share.0", [0.0, 1.0]) == 0.5
    assert _summary("system/disk_free_bytes", [5.0, 4.0]) == 4.0
    assert _summary("system/memory_resident_bytes", [5.0, 7.0]) == 7.0
    assert _summary("system/gpu_memory_bytes.3", [5.0, 4.0]) == 5.0
    assert _summary("system/energy_joules", [5.0, 9.0]) == 9.0
