"""Runs from start to end through the command line: finish, stop, resume, refuse, recover."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from nanochat_framework.cli import main
from nanochat_framework.runs.checkpoint_store import CheckpointStore
from nanochat_framework.runs.metrics import read_metrics
from nanochat_framework.runs.status import StatusFile, liveness, read_status
from tests.conftest import tiny_dict

OPEN_FILES = Path("/proc/self/fd")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "tiny.toml"
    data = tiny_dict(
        eval={"every": 3, "batches": 1}, checkpoint={"every": 2, "keep_last": 2}, train__steps=8, data__seq_len=16
    )
    path.write_text(tomli_w.dumps(data))
    return path


def losses(run: Path) -> dict[int, float]:
    return {record["step"]: record["train/loss"] for record in read_metrics(run / "metrics.jsonl")}


@pytest.fixture(scope="module")
def finished(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    assert main(["train", str(config), "--run", "whole", "--runs-dir", str(runs), "--quiet"]) == 0
    return runs / "whole"


def test_a_finished_run(finished: Path, config: Path) -> None:
    assert sorted(losses(finished)) == list(range(1, 9))
    names = {path.name for path in (finished / "checkpoints").iterdir()}
    assert names == {"step_00000006", "step_00000008", "best", "final", "LATEST"}
    status = json.loads((finished / "status.json").read_text())
    assert (status["state"], status["step"], status["tokens"]) == ("finished", 8, 8 * 4 * 16)
    assert (finished / "config.source.toml").read_bytes() == config.read_bytes()
    lock = json.loads((finished / "components.lock.json").read_text())
    assert {"kind", "name", "plugin", "distribution", "version", "schema_version"} == set(lock[0])
    kinds = [json.loads(line)["kind"] for line in (finished / "events.jsonl").read_text().splitlines()]
    assert kinds[0] == "started"
    assert kinds[-1] == "finished"
    assert kinds.count("evaluation") == 3
    records = read_metrics(finished / "metrics.jsonl")
    assert "eval/loss" in records[2]
    assert "eval/bits_per_byte" not in records[2], "synthetic tokens have no bytes"
    assert records[-1]["train/learning_rate/muon"] == pytest.approx(0.02 * 0.1)


def test_no_file_of_a_run_stays_open(config: Path, tmp_path: Path, finished: Path) -> None:
    """`finished` has trained in this process before: what is opened once, by libraries, is open by now."""
    if not OPEN_FILES.is_dir():
        pytest.skip("no /proc/self/fd here, which tells the open files")
    before = sorted(os.listdir(OPEN_FILES))
    assert main(["train", str(config), "--run", "again", "--runs-dir", str(tmp_path), "--quiet"]) == 0
    assert sorted(os.listdir(OPEN_FILES)) == before


@pytest.mark.parametrize("named", ["step_00000006", "6"])
def test_resuming_from_any_checkpoint_gives_the_same_run(finished: Path, tmp_path: Path, named: str) -> None:
    shutil.copytree(finished, tmp_path / "whole")
    assert main(["resume", "whole", "--from", named, "--runs-dir", str(tmp_path), "--quiet"]) == 0
    assert losses(tmp_path / "whole") == losses(finished)
    finals = [run / "checkpoints" / "final" / "model.safetensors" for run in (finished, tmp_path / "whole")]
    assert finals[0].read_bytes() == finals[1].read_bytes()
    events = [json.loads(line) for line in (tmp_path / "whole" / "events.jsonl").read_text().splitlines()]
    assert [event["rewound_to"] for event in events if event["kind"] == "resumed"] == [6]


@pytest.mark.parametrize(("options", "known"), [([], True), (["--from", "step_00000006"], False)])
def test_what_was_known_of_a_run_is_known_until_there_is_something_newer(
    finished: Path, tmp_path: Path, options: list[str], known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gone on with at its last step it has nothing to log; from an earlier one on what it knew is of steps to come."""
    shutil.copytree(finished, tmp_path / "whole")
    before = read_status(finished / "status.json")
    running = []
    update = StatusFile.update

    def watched(self: StatusFile, **facts: Any) -> None:
        update(self, **facts)
        if self.status.state == "running":
            running.append(dict(self.status.metrics))

    monkeypatch.setattr(StatusFile, "update", watched)
    assert main(["resume", "whole", *options, "--runs-dir", str(tmp_path), "--quiet"]) == 0
    after = read_status(tmp_path / "whole" / "status.json")
    assert before is not None and after is not None and "train/loss" in before.metrics
    assert ("train/loss" in running[0]) is known
    assert after.metrics["train/loss"] == before.metrics["train/loss"]


def test_a_signal_stops_after_the_step_and_resume_goes_on(config: Path, finished: Path, tmp_path: Path) -> None:
    nanochat = [sys.executable, "-m", "nanochat_framework"]
    arguments = ["--runs-dir", str(tmp_path), "--set", "train.steps=100000"]
    process = subprocess.Popen(
        [*nanochat, "train", str(config), "--run", "long", *arguments], stderr=subprocess.PIPE, text=True
    )
    metrics = tmp_path / "long" / "metrics.jsonl"
    deadline = time.monotonic() + 60
    while not (metrics.exists() and metrics.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, narration = process.communicate(timeout=60)
    assert process.returncode == 3
    assert "nanochat resume" in narration
    assert "Traceback" not in narration
    status = json.loads((tmp_path / "long" / "status.json").read_text())
    assert status["state"] == "stopped"
    newest = CheckpointStore(tmp_path / "long" / "checkpoints").latest()
    assert newest is not None
    assert newest.name == f"step_{status['step']:08d}"


def test_a_torn_checkpoint_is_passed_over(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "whole")
    torn = tmp_path / "whole" / "checkpoints" / "step_00000008" / "model.safetensors"
    content = torn.read_bytes()
    torn.unlink()  # the files are shared by hard links in the original, not in the copy
    torn.write_bytes(content[:-100])
    store = CheckpointStore(tmp_path / "whole" / "checkpoints")
    newest = store.latest()
    assert newest is not None
    assert newest.name != "step_00000008"
    assert main(["resume", "whole", "--from", "step_00000008", "--runs-dir", str(tmp_path), "--quiet"]) == 2
    assert main(["resume", "whole", "--runs-dir", str(tmp_path), "--quiet"]) == 0
    assert losses(tmp_path / "whole") == losses(finished)


@pytest.mark.parametrize("how", [[], ["--detach"], ["--nproc", "2"], ["--queue"]], ids=" ".join)
@pytest.mark.parametrize("checkpoint", ["nope", "step_00000008"])
def test_a_run_that_cannot_go_on_from_a_checkpoint_stays_as_it_is(
    finished: Path, tmp_path: Path, checkpoint: str, how: list[str]
) -> None:
    whole = tmp_path / "whole"
    shutil.copytree(finished, whole)
    torn = whole / "checkpoints" / "step_00000008" / "model.safetensors"
    torn.write_bytes(torn.read_bytes()[:-1] + b"x")
    before = {path: path.read_bytes() for path in whole.rglob("*") if path.is_file()}
    assert main(["resume", str(whole), "--from", checkpoint, *how]) == 2
    assert {path: path.read_bytes() for path in whole.rglob("*") if path.is_file()} == before
    assert liveness(read_status(whole / "status.json")) == "finished"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["train", "{config}", "--run", "whole", "--runs-dir", "{runs}"], 2, "nanochat resume "),
        (["train", "{config}", "--run", "a/b", "--runs-dir", "{runs}"], 2, "letters, digits"),
        (["resume", "whol", "--runs-dir", "{runs}"], 2, "did you mean 'whole'"),
        (
            ["resume", "whole", "--from", "step_1", "--runs-dir", "{runs}"],
            2,
            "no checkpoint 'step_1'; there are: step_",
        ),
        (["resume", "whole", "--from", "", "--runs-dir", "{runs}"], 2, "no checkpoint ''; there are: step_"),
        (["resume", "whole", "--from", "..", "--runs-dir", "{runs}"], 2, "no checkpoint '..'; there are: step_"),
        (
            ["resume", "whole", "--from", "{runs}/whole/checkpoints/final", "--runs-dir", "{runs}"],
            2,
            "no checkpoint '/",
        ),
        (["train", "{config}", "--runs-dir", "{tmp}", "--set", "hardware.device=cuda"], 2, "has no cuda"),
        (["train", "{config}", "--runs-dir", "{tmp}", "--data-path", "no.bin", "--dataset", "tokens"], 2, "no.bin"),
        (["train"], 2, "name a configuration"),
        (["trian"], 2, "did you mean 'train'"),
        (["train", "{config}", "--steps"], 2, "error"),
    ],
)
def test_mistakes_are_one_line(
    finished: Path,
    config: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    if "hardware.device=cuda" in arguments and _has_cuda():
        pytest.skip("this machine has a CUDA device")
    before = losses(finished)
    filled = [a.format(config=config, runs=finished.parent, tmp=tmp_path) for a in arguments]
    try:
        found = main(filled)
    except SystemExit as exit_:  # argparse leaves by itself
        found = int(exit_.code or 0)
    errors = capsys.readouterr().err.strip().splitlines()
    assert found == code
    assert len(errors) == 1
    assert message in errors[0]
    assert losses(finished) == before


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


def test_too_many_bad_steps_end_the_run_in_one_line(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A learning rate that blows the weights up: steps are skipped, counted, and the run gives up with advice."""
    options = ["--set", "optimizer.1.lr=1e30", "--set", "train.max_skipped_steps=2", "--set", "schedule.warmup_steps=0"]
    code = main(["train", str(config), "--run", "bad", "--runs-dir", str(tmp_path), "--quiet", *options])
    errors = capsys.readouterr().err.strip().splitlines()
    assert code == 1
    assert "not finite for 3 steps in a row" in errors[-1]
    events = (tmp_path / "bad" / "events.jsonl").read_text()
    assert events.count('"skipped_step"') == 3
    assert json.loads((tmp_path / "bad" / "status.json").read_text())["state"] == "failed"


def test_a_full_disk_keeps_the_earlier_checkpoint(config: Path, tmp_path: Path) -> None:
    """Files may not grow past a limit that metrics fit into and weights do not: the system's own refusal."""
    script = (
        "import resource, sys; from nanochat_framework.cli import main\n"
        "code = main(sys.argv[1:3] + ['--run', 'full', '--runs-dir', sys.argv[3], '--quiet', '--set', 'train.steps=2'])\n"
        "assert code == 0\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
        "run = sys.argv[3] + '/full'\n"
        "import json, pathlib; path = pathlib.Path(run, 'config.resolved.json'); data = json.loads(path.read_text())\n"
        "data['train']['steps'] = 8; path.write_text(json.dumps(data))\n"
        "sys.exit(main(['resume', run, '--quiet']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "train", str(config), str(tmp_path)], capture_output=True, text=True, check=False
    )
    lines = [line for line in done.stderr.strip().splitlines() if line.startswith("error")]
    assert done.returncode == 1, done.stderr
    assert len(lines) == 1
    assert "step_00000002" in lines[0]
    assert "Traceback" not in done.stderr
    store = CheckpointStore(tmp_path / "full" / "checkpoints")
    newest = store.latest()
    assert newest is not None
    assert newest.name == "step_00000002"
    assert not [name for name in os.listdir(store.root) if name.startswith(".tmp")]


def test_out_of_memory_is_one_line(config: Path, tmp_path: Path) -> None:
    """The address space is limited to what training needs and a little more, then the batch is made too big for it."""
    script = (
        "import resource, sys, torch; from nanochat_framework.cli import main\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 700_000_000, -1))\n"
        "sys.exit(main(['train', sys.argv[1], '--run', 'oom', '--runs-dir', sys.argv[2], '--quiet',\n"
        "  '--set', 'train.batch_size=20000', '--set', 'data.seq_len=64']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(config), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    lines = [line for line in done.stderr.strip().splitlines() if line.startswith("error")]
    assert len(lines) == 1
    assert "out of memory with train.batch_size=20000" in lines[0]
    assert "--set train.batch_size=" in lines[0]
    assert "Traceback" not in done.stderr


def test_loss_scale_and_spike_window_survive_a_resume(config: Path, tmp_path: Path) -> None:
    """fp16 starts with overflows that halve the scale; a resumed run must not start that over."""
    settings = ["train.precision='fp16'", "train.spike_sigma=0.5", "train.spike_window=2", "train.log_every=1"]
    arguments = ["--runs-dir", str(tmp_path), "--quiet"]
    overrides = [part for setting in settings for part in ("--set", setting)]
    assert main(["train", str(config), "--run", "whole", *arguments, *overrides]) == 0
    shutil.copytree(tmp_path / "whole", tmp_path / "again")
    assert main(["resume", "again", "--from", "step_00000006", *arguments]) == 0
    records = [read_metrics(tmp_path / run / "metrics.jsonl") for run in ("whole", "again")]
    assert losses(tmp_path / "again") == losses(tmp_path / "whole")
    keys = ("train/loss_scale", "train/skipped_steps")
    assert [[r[key] for key in keys] for r in records[0]] == [[r[key] for key in keys] for r in records[1]]
    assert records[0][-1]["train/skipped_steps"] > 0
