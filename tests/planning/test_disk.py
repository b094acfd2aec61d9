"""Disk of a run: the plan against the files that a run leaves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from nanochat_framework.cli import main
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.planning.disk import disk
from nanochat_framework.planning.memory import plan_memory

TRAIN = ["--set", "train.steps=12", "--set", "eval.every=3", "--set", "eval.batches=1", "--set", "checkpoint.every=2"]


def _planned(config: RunConfig) -> tuple[int, int]:
    found = disk(config, plan_memory(config))
    return found.kept, found.most_bytes // found.checkpoint_bytes


def test_kept_checkpoints(tiny_config: Callable[..., RunConfig]) -> None:
    keep = {"every": 2, "keep_last": 3}
    assert _planned(tiny_config(train__steps=100, checkpoint=keep)) == (3, 4)
    assert _planned(tiny_config(train__steps=100, checkpoint=keep, eval={"every": 10})) == (4, 5)
    assert _planned(tiny_config(train__steps=2, checkpoint=keep)) == (1, 1)
    assert _planned(tiny_config(train__steps=4, checkpoint=keep)) == (2, 2)


def test_plan_is_what_a_run_leaves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = [*TRAIN, "--set", 'data.source={name="synthetic",n_samples=2000}', "--set", "schedule.warmup_steps=1"]
    small += ["--set", "train.batch_size=1", "--set", "data.seq_len=32", "--set", 'hardware.device="cpu"']
    assert main(["plan", "tiny-cpu", "--json", *small]) == 0
    planned = json.loads(capsys.readouterr().out)["disk"]
    assert main(["train", "tiny-cpu", "--runs-dir", str(tmp_path), "--run", "r", "--quiet", *small]) == 0
    files = {path.stat().st_ino: path.stat() for path in (tmp_path / "r" / "checkpoints").rglob("*") if path.is_file()}
    kept = sum(status.st_size for status in files.values())  # hard links once
    copies = {round(kept / planned["checkpoint_bytes"])}
    assert copies <= {planned["checkpoints_kept"] - 1, planned["checkpoints_kept"]}  # best may be one of the last
    assert kept / round(kept / planned["checkpoint_bytes"]) == pytest.approx(planned["checkpoint_bytes"], rel=0.02)
