"""Trackers in a whole run and its resume, from the command line."""

from __future__ import annotations

import csv
import importlib
import json
import threading
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from nanochat_framework.cli import main
from nanochat_framework.runs.metrics import read_metrics
from nanochat_framework.training.train_module import StepResult, TrainModule
from nanochat_trackers.csv_file import CsvTracker
from tests.conftest import tiny_dict


@pytest.fixture
def config(tmp_path: Path) -> Path:
    table = tiny_dict(checkpoint={"every": 2}, eval={"every": 3, "batches": 1}, tracker=["csv"])
    (tmp_path / "tiny.toml").write_text(tomli_w.dumps(table))
    return tmp_path / "tiny.toml"


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_and_a_resume(config: Path, tmp_path: Path) -> None:
    options = ["--runs-dir", str(tmp_path), "--quiet"]
    assert main(["train", str(config), "--run", "one", *options]) == 0
    run = tmp_path / "one"
    assert [row["step"] for row in rows(run)] == ["1", "2", "3", "4", "5", "6"]
    assert [bool(row["eval/loss"]) for row in rows(run)] == [False, False, True, False, False, True]
    assert main(["resume", "one", "--from", "step_00000004", *options]) == 0
    assert [row["attempt"] for row in rows(run)] == ["1", "1", "1", "1", "2", "2"]
    losses = [float(row["train/loss"]) for row in rows(run)]
    assert losses == [record["train/loss"] for record in read_metrics(run / "metrics.jsonl")]


def test_a_failing_tracker_costs_three_lines(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(self: CsvTracker, step: int, record: Any) -> None:
        raise RuntimeError("no table today\nand more")

    monkeypatch.setattr(CsvTracker, "metrics", broken)
    assert main(["train", str(config), "--run", "one", "--runs-dir", str(tmp_path), "--quiet"]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("tracker")]
    assert len(lines) == 3
    assert all(line.startswith("tracker csv: RuntimeError: no table today and more (") for line in lines)
    assert [line.endswith("; it is switched off") for line in lines] == [False, False, True]
    events = [json.loads(line) for line in (tmp_path / "one" / "events.jsonl").read_text().splitlines()]
    errors = [event for event in events if event["kind"] == "tracker_error"]
    assert [event["switched_off"] for event in errors] == [False, False, True]
    assert json.loads((tmp_path / "one" / "status.json").read_text())["state"] == "finished"


def test_an_interrupted_run_does_not_wait_for_a_tracker_that_hangs(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    go_on, entered = threading.Event(), threading.Event()

    def hang(self: CsvTracker, step: int, record: Any) -> None:
        entered.set()
        go_on.wait(60)

    def interrupt(self: TrainModule, batches: Any, number: int) -> StepResult:
        if number == 3:
            assert entered.wait(60)
            raise KeyboardInterrupt
        return step(self, batches, number)

    step = TrainModule.step
    monkeypatch.setattr(CsvTracker, "metrics", hang)
    monkeypatch.setattr(TrainModule, "step", interrupt)
    monkeypatch.setattr("nanochat_framework.training.setup.HURRIED_SECONDS", 0.1)
    assert main(["train", str(config), "--run", "one", "--runs-dir", str(tmp_path), "--quiet"]) == 130
    go_on.set()
    assert "were not written within 0.1 s" in capsys.readouterr().err


def test_a_missing_package_stops_the_run_before_it_is_there(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = importlib.import_module("nanochat_trackers.tensorboard_files")
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    arguments = ["--run", "one", "--runs-dir", str(tmp_path), "--set", 'tracker=["tensorboard"]']
    assert main(["train", str(config), *arguments]) == 2
    assert "error: tracker tensorboard needs the extra `tensorboard`: pip install" in capsys.readouterr().err
    assert not (tmp_path / "one").exists()
