"""Export, evaluation and fork of a run that was really trained, by the keys of the dashboard."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from nanochat_framework.cli import main
from nanochat_framework.runs.checkpoint_store import step_name
from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.status import read_status
from nanochat_tui.app import Dashboard
from nanochat_tui.checkpoints.evaluating import EvaluationForm
from nanochat_tui.checkpoints.exporting import ExportForm
from nanochat_tui.checkpoints.forking import ForkForm
from nanochat_tui.dialogs import Pick
from nanochat_tui.work import Work
from tests.exporters.models import corpus, small_tokenizer
from tests.tui.run_folders import said, text_of, until

SETTINGS = {
    "model.dim": 64,
    "model.n_layers": 1,
    "model.vocab_size": 608,
    "model.max_seq_len": 64,
    "model.attention.n_heads": 2,
    "model.attention.n_kv_heads": 2,
    "model.attention.head_dim": 32,
    "model.ffn.hidden_dim": 64,
    "quantizer.0.group_size": 32,
    "data.seq_len": 32,
    "train.batch_size": 2,
    "train.steps": 8,
    "schedule.warmup_steps": 1,
    "eval.every": 4,
    "eval.batches": 1,
    "checkpoint.every": 4,
    "hardware.threads": 1,
}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    """`runs/first` in the working directory, trained for eight steps on a text."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NANOCHAT_LOAD_PLUGINS", "")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    Path("texts").mkdir()
    for number, part in enumerate(corpus().split("\n\n\n")):
        Path(f"texts/{number}.txt").write_text(part)
    Path("tokenizer.json").write_text(small_tokenizer().to_json())
    assert main(["prepare-data", "--text", "texts", "--tokenizer", "tokenizer.json", "--output", "data"]) == 0
    given = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]
    assert main(["train", "tiny-cpu", "--run", "first", "--quiet", *given]) == 0
    return RunDirectory(tmp_path / "runs" / "first")


@pytest.mark.slow
def test_export_evaluate_and_fork(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.tui.run_folders.DEADLINE_SECONDS", 240.0)  # children import torch

    async def session() -> None:
        app = Dashboard(run.path.parent, seconds=0.1)
        async with app.run_test(size=(120, 40)) as pilot:
            await until(lambda: "first" in text_of(app), pilot.pause)
            await pilot.press("k")
            await until(lambda: "step_00000008" in text_of(app), pilot.pause)
            await pilot.press("E")
            await until(lambda: isinstance(app.screen, Pick), pilot.pause)
            await pilot.press("enter")
            await until(lambda: isinstance(app.screen, ExportForm), pilot.pause)
            await pilot.press("enter")
            await until(lambda: isinstance(app.screen, Work), pilot.pause)
            work = app.screen
            assert isinstance(work, Work)
            await until(lambda: work.done is not None, pilot.pause)
            assert work.command is not None and any("storing tensors" in line for line in work.command.narration)
            await until(lambda: "codes: all of 7 tensors equal bit for bit" in text_of(app), pilot.pause)
            written = Path("first-final.gguf")
            assert f"({written.stat().st_size:,} bytes)" in text_of(app)
            await pilot.press("enter", "e")
            await until(lambda: isinstance(app.screen, EvaluationForm), pilot.pause)
            await pilot.press("enter")
            await until(lambda: "eval/bits_per_byte" in text_of(app) and "xz" in text_of(app), pilot.pause)
            await pilot.press("enter", "ctrl+home", "f")
            await until(lambda: isinstance(app.screen, ForkForm), pilot.pause)
            form = app.screen
            await pilot.press("tab", *"train.steps=4", "enter")
            await until(lambda: "train.steps: step_00000004 is at step 4 of 4" in text_of(app), pilot.pause)
            await pilot.press("backspace", "8", "tab", *"lower", "enter")
            await until(lambda: app.screen is not form, pilot.pause)
            await until(lambda: "fork first: lower trains" in said(app), pilot.pause)

            def state() -> str:
                status = read_status(RunDirectory(run.path.parent / "lower").status)
                return status.state if status else ""

            await until(lambda: state() in ("finished", "failed"), pilot.pause)
            assert state() == "finished"

    asyncio.run(session())
    made = RunDirectory(run.path.parent / "lower")
    assert made.info()["parent"] == f"first/{step_name(4)}"
    assert json.loads(made.config_resolved.read_bytes())["train"]["steps"] == 8
