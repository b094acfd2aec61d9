"""Several processes train the run that one process trains, and end as one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import tomli_w
import torch
from safetensors.torch import load_file

from nanochat_framework.runs.metrics import read_metrics
from tests.conftest import tiny_dict

NANOCHAT = [sys.executable, "-m", "nanochat_framework"]
STEPS = 8


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dense model under AdamW: small differences of rounding stay small (Lion's signs and ternary codes magnify them)."""
    path = tmp_path_factory.mktemp("config") / "dense.toml"
    data = tiny_dict(
        quantizer=[],
        optimizer=[{"match": "*", "name": "adamw", "lr": 0.003}],
        objective=[{"name": "z_loss"}],
        eval={"every": 4, "batches": 3},
        checkpoint={"every": 2, "keep_last": 9},
        train__steps=STEPS,
        train__gradient_accumulation=2,
    )
    path.write_text(tomli_w.dumps(data))
    return path


def _run(*arguments: str | Path, code: int = 0) -> str:
    """Run a command to its end; returns stderr."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*NANOCHAT, *map(str, arguments)], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == code, done.stderr
    return done.stderr


def _losses(run: Path) -> list[float]:
    return [record["train/loss"] for record in read_metrics(run / "metrics.jsonl")]


@pytest.fixture(scope="module")
def alone(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    _run("train", config, "--run", "alone", "--runs-dir", runs)
    return runs / "alone"


def _same(run: Path, alone: Path) -> None:
    assert _losses(run) == pytest.approx(_losses(alone), abs=1e-5)
    records = [read_metrics(each / "metrics.jsonl")[-1] for each in (run, alone)]
    for key in ("tokens", "train/z_loss", "train/grad_norm", "train/total_loss", "eval/loss"):
        assert records[0][key] == pytest.approx(records[1][key], rel=1e-4), key
    weights = [load_file(each / "checkpoints/final/model.safetensors") for each in (run, alone)]
    for name, tensor in weights[0].items():
        torch.testing.assert_close(tensor, weights[1][name], rtol=0, atol=2e-4, msg=name)


def test_two_processes_train_as_one_does(config: Path, alone: Path, tmp_path: Path) -> None:
    said = _run("train", config, "--run", "two", "--runs-dir", tmp_path, "--nproc", "2")
    assert "2 processes on cpu" in said
    assert said.count("finished:") == 1, "one process speaks for all"
    _same(tmp_path / "two", alone)
    attempts = [json.loads(line) for line in (tmp_path / "two" / "events.jsonl").read_text().splitlines()]
    assert [event["kind"] for event in attempts].count("started") == 1


def test_a_run_goes_on_with_another_number_of_processes(config: Path, alone: Path, tmp_path: Path) -> None:
    shutil.copytree(alone, tmp_path / "run")
    _run("resume", tmp_path / "run", "--from", "step_00000002", "--nproc", "2")
    _run("resume", tmp_path / "run", "--from", "step_00000006")
    _same(tmp_path / "run", alone)


def test_torchrun_starts_it_as_well(config: Path, alone: Path, tmp_path: Path) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    arguments = [
        "nanochat_framework",
        "--",
        "train",
        str(config),
        "--run",
        "two",
        "--runs-dir",
        str(tmp_path),
        "--quiet",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run([*torchrun, *arguments], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    _same(tmp_path / "two", alone)


def test_what_cannot_be_shared_is_refused_in_one_line(config: Path, tmp_path: Path) -> None:
    said = _run("train", config, "--run", "three", "--runs-dir", tmp_path, "--nproc", "3", code=2)
    assert said.startswith("error: a step has 8 sequences (train.batch_size x train.gradient_accumulation), which 3 ")
    assert said.count("\n") == 1
    assert not (tmp_path / "three").exists()
    said = _run("train", config, "--runs-dir", tmp_path, "--nproc", "0", code=2)
    assert said == "error: --nproc 0: at least one process is needed\n"


PATIENCE_SECONDS = 240
"""Machines are shared: two processes that import torch take long where others work."""


@contextmanager
def _long_training(config: Path, runs: Path) -> Iterator[subprocess.Popen[str]]:
    """A training that does not end by itself, once it has taken two steps; whatever happens, nothing is left of it."""
    arguments = ["train", str(config), "--run", "long", "--runs-dir", str(runs), "--nproc", "2"]
    settings = ["--set", "train.steps=100000", "--set", "checkpoint.every=1000"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [*NANOCHAT, *arguments, *settings]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        metrics = runs / "long" / "metrics.jsonl"
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (metrics.exists() and metrics.read_bytes().count(b"\n") > 1):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_a_signal_stops_all_after_the_same_step(config: Path, tmp_path: Path) -> None:
    with _long_training(config, tmp_path) as process:
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 3
    assert said.count("stopped by SIGINT after step") == 1
    status = json.loads((tmp_path / "long" / "status.json").read_text())
    assert status["state"] == "stopped"
    assert (tmp_path / "long" / "checkpoints" / f"step_{status['step']:08d}").is_dir()


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_the_run_cleanly(config: Path, alone: Path, tmp_path: Path, rank: int) -> None:
    with _long_training(config, tmp_path) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        if not children.exists():
            pytest.skip("this system does not list a process's children")
        os.kill(int(children.read_text().split()[rank]), signal.SIGKILL)
        _, said = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 1
    last = said.splitlines()[-1]
    assert last.startswith(f"error: process {rank} of 2 was ended by SIGKILL; `nanochat resume ")
    assert "Traceback" not in said
    assert json.loads((tmp_path / "long" / "status.json").read_text())["state"] == "failed"
