"""`nanochat runs ls|show|compare|tag|alias|rm` over folders as trainings leave them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from nanochat_framework.cli import main
from nanochat_framework.errors import UsageError
from nanochat_framework.runs.checkpoint_store import CheckpointStore, step_name
from nanochat_framework.runs.directory import RunDirectory, check_free
from nanochat_framework.runs.events import begin_attempt
from nanochat_framework.runs.metrics import MetricsLog
from nanochat_framework.runs.status import StatusFile
from nanochat_framework.runs.tags import change_tags, read_tags


def made(runs: Path, name: str, *, lr: float = 0.1, state: str = "finished", loss: float = 2.0) -> RunDirectory:
    """A run's folder: two steps, an evaluation, a checkpoint."""
    resolved = {"model": {"name": "decoder", "dim": 64}, "optimizer": [{"name": "lion", "lr": lr}]}
    run = RunDirectory.create(
        runs,
        name,
        sources=[("my.toml", b"")],
        resolved=resolved,
        components_lock=[],
        overrides=[f"lr={lr}"],
        argv=["nanochat", "train"],
    )
    events = begin_attempt(run.events, 0)
    metrics = MetricsLog(run.metrics, 1)
    for step in (1, 2):
        metrics.write(step=step, tokens=100 * step, values={"train/loss": loss, "train/tokens_per_second": 1234.5})
    metrics.write(step=2, tokens=200, values={"eval/loss": loss, "eval/bits_per_byte": loss / 2})
    CheckpointStore(run.checkpoints).write(step_name(2), lambda folder: _fill(folder))
    events.write("set", step=1, settings={"lr_scale": 0.5})
    status = StatusFile(run.status)
    newest = {"train/loss": loss, "eval/bits_per_byte": loss / 2, "train/tokens_per_second": 1234.5}
    status.update(state=state, attempt=1, step=2, total_steps=10, tokens=200, metrics=newest)
    return run


def _fill(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"x" * 1000)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    made(tmp_path, "first")
    made(tmp_path, "second", lr=0.2, loss=1.5)
    made(tmp_path, "third", lr=0.3, loss=float("nan"), state="running")  # by this process
    return tmp_path


def output(capsys: pytest.CaptureFixture[str], *arguments: str | Path, code: int = 0) -> str:
    assert main(["runs", *map(str, arguments)]) == code
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return captured.out if code == 0 else captured.err


def listed(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(output(capsys, "ls", "--json", *arguments))
    return found


def die_running(run: RunDirectory) -> None:
    """Let a process say that it trains the run, and be killed."""
    script = (
        "import os, sys; from pathlib import Path; from nanochat_framework.runs.status import StatusFile\n"
        "StatusFile(Path(sys.argv[1])).update(state='running'); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", script, str(run.status)], check=False)


def test_ls_sorts_and_chooses(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert [run["name"] for run in listed(capsys, "--runs-dir", runs)] == ["first", "second", "third"]
    by_bits = listed(capsys, "--sort", "bits", "--runs-dir", runs)
    assert [run["name"] for run in by_bits] == ["second", "first", "third"], "what is not known comes last"
    assert [r["name"] for r in listed(capsys, "--sort", "bits", "--reverse", "--limit", "1", "--runs-dir", runs)] == [
        "first"
    ]
    assert [run["name"] for run in listed(capsys, "--state", "running", "--runs-dir", runs)] == ["third"]
    assert [run["name"] for run in listed(capsys, "--match", "*ir*", "--runs-dir", runs)] == ["first", "third"]
    change_tags(RunDirectory(runs / "second"), ["keep"])
    assert [run["name"] for run in listed(capsys, "--tag", "keep", "--runs-dir", runs)] == ["second"]
    assert by_bits[0]["tokens_per_second"] == 1234.5
    assert by_bits[2]["loss"] == "NaN"


def test_ls_as_a_table(runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    die_running(RunDirectory(runs / "first"))
    (runs / "third" / "status.json").write_text("{torn")
    monkeypatch.setenv("NANOCHAT_RUNS_DIR", str(runs))
    lines = output(capsys, "ls").splitlines()
    assert lines[0].split() == ["run", "state", "step", "loss", "bits/byte", "tokens/s", "age", "tags"]
    assert lines[1].startswith("first   lost (")
    assert lines[2].split()[:6] == ["second", "finished", "2/10", "1.5000", "0.7500", "1,234"]
    assert lines[3].split()[:4] == ["third", "unknown", "0", "-"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ls", "--limit", "-1"), "--limit: must be 1 or more"),
        (("ls", "--state", "runing"), "invalid choice: 'runing'"),
        (("pause", "third", "--timeout", "nan"), "--timeout: must be a number of seconds, 0 or more, not nan"),
        (("pause", "third", "--timeout", "-5"), "--timeout: must be a number of seconds, 0 or more, not -5"),
    ],
)
def test_numbers_and_words_that_mean_nothing_are_refused(
    runs: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    assert message in output(capsys, *arguments, "--runs-dir", runs, code=2)
    assert not (runs / "third" / "control.jsonl").exists(), "nothing was asked"


def test_ls_of_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert listed(capsys, "--runs-dir", tmp_path) == []


def test_show(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = json.loads(output(capsys, "show", runs / "second", "--json"))
    assert (facts["state"], facts["metrics"]["eval/loss"], facts["overrides"]) == ("finished", 1.5, ["lr=0.2"])
    assert facts["settings"] == {"lr_scale": 0.5}
    assert [(c["name"], c["step"], c["problem"]) for c in facts["checkpoints"]] == [("step_00000002", 2, None)]
    (runs / "second" / "checkpoints" / "step_00000002" / "model.safetensors").write_bytes(b"x")
    text = output(capsys, "show", "second", "--runs-dir", runs)
    assert "eval/loss  1.5" in text
    assert "1 bytes" in next(line for line in text.splitlines() if "model.safetensors" in line)


def test_a_run_by_a_path_that_ends_in_dots(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = runs / "second" / "checkpoints" / ".."
    assert json.loads(output(capsys, "show", path, "--json"))["name"] == "second"
    output(capsys, "rm", path, "--yes")
    assert not (runs / "second").exists()


def test_compare(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(output(capsys, "compare", "first", "second", "third", "--json", "--runs-dir", runs))
    assert found["config"] == {"optimizer.0.lr": {"first": 0.1, "second": 0.2, "third": 0.3}}
    assert found["metrics"]["eval/loss"] == {"first": 2.0, "second": 1.5, "third": "NaN"}
    assert found["metrics"]["step"] == {"first": 2, "second": 2, "third": 2}
    text = output(capsys, "compare", "first", "second", "--runs-dir", runs)
    rows = [line.split() for line in text.splitlines()]
    assert ["optimizer.0.lr", "0.1", "0.2"] in rows
    assert ["eval/loss", "2", "1.5", "*"] in rows
    assert ["train/tokens_per_second", "1234.5", "1234.5"] in rows, "none is better"
    for alone in (("first",), ("first", runs / "first")):
        assert "two runs or more" in output(capsys, "compare", *alone, "--runs-dir", runs, code=2)
    shutil.copytree(runs / "first", runs / "elsewhere" / "first")
    found = json.loads(output(capsys, "compare", "first", runs / "elsewhere" / "first", "--json", "--runs-dir", runs))
    assert found["metrics"]["eval/loss"] == {str(runs / "first"): 2.0, str(runs / "elsewhere" / "first"): 2.0}


def test_tags(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert output(capsys, "tag", "first", "b", "a", "--runs-dir", runs).split() == ["a", "b"]
    assert json.loads(output(capsys, "tag", "first", "c", "--remove", "a", "--json", "--runs-dir", runs)) == ["b", "c"]
    assert output(capsys, "tag", "first", "--runs-dir", runs).split() == ["b", "c"]
    assert "has no tag 'x'; it has b, c" in output(capsys, "tag", "first", "--remove", "x", "--runs-dir", runs, code=2)
    assert "not a tag" in output(capsys, "tag", "first", "a b", "--runs-dir", runs, code=2)


def test_an_alias_is_a_name_like_the_run_s_own(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert output(capsys, "alias", "first", "--runs-dir", runs) == ""
    assert output(capsys, "alias", "first", "base", "--runs-dir", runs).split() == ["base"]
    assert json.loads(output(capsys, "alias", "base", "--json", "--runs-dir", runs)) == "base"
    assert json.loads(output(capsys, "show", "base", "--json", "--runs-dir", runs))["name"] == "first"
    assert "base (first)" in output(capsys, "ls", "--runs-dir", runs)
    assert [run["name"] for run in listed(capsys, "--match", "bas*", "--runs-dir", runs)] == ["first"]
    assert "did you mean 'base'?" in output(capsys, "show", "bsae", "--runs-dir", runs, code=2)
    assert output(capsys, "alias", "base", "ground", "--runs-dir", runs).split() == ["ground"]
    assert "no run 'base'" in output(capsys, "show", "base", "--runs-dir", runs, code=2)
    assert output(capsys, "alias", "ground", "--remove", "--runs-dir", runs) == ""
    assert "no run 'ground'" in output(capsys, "show", "ground", "--runs-dir", runs, code=2)


def test_a_folder_of_runs_that_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    file, none = tmp_path / "file", tmp_path / "none"
    expected = f"error: --runs-dir {file}: is a file; name the folder that runs live in\n"
    assert output(capsys, "ls", "--runs-dir", file, code=2) == expected
    assert output(capsys, "--runs-dir", file, "show", "first", code=2) == expected
    assert output(capsys, "ls", "--runs-dir", none, code=2) == f"error: --runs-dir {none}: no such folder\n"
    assert "no run 'first'" in output(capsys, "show", "first", "--runs-dir", none, code=2)
    monkeypatch.setenv("NANOCHAT_RUNS_DIR", str(none))  # made by the first training
    assert output(capsys, "ls").splitlines()[1:] == []
    monkeypatch.setenv("NANOCHAT_RUNS_DIR", str(file))
    assert "is a file" in output(capsys, "ls", code=2)


def test_an_alias_is_given_once(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output(capsys, "alias", "first", "base", "--runs-dir", runs)
    assert "taken by run first" in output(capsys, "alias", "second", "base", "--runs-dir", runs, code=2)
    assert "taken by run second" in output(capsys, "alias", "first", "second", "--runs-dir", runs, code=2)
    assert "the run's own name" in output(capsys, "alias", "first", "first", "--runs-dir", runs, code=2)
    assert "not a name for a run" in output(capsys, "alias", "first", "a/b", "--runs-dir", runs, code=2)
    assert "alias '': not a name for a run" in output(capsys, "alias", "first", "", "--runs-dir", runs, code=2)
    assert "give no other one" in output(capsys, "alias", "first", "", "--remove", "--runs-dir", runs, code=2)
    assert "give no other one" in output(capsys, "alias", "first", "x", "--remove", "--runs-dir", runs, code=2)
    assert RunDirectory(runs / "first").alias == "base"
    with pytest.raises(UsageError, match="another name of"):
        check_free(runs, "base")


@pytest.mark.parametrize("content", [b"", b"[]", b'"a/b"', b"\xff", b"[" * 100_000])
def test_a_damaged_alias_is_none(runs: Path, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    run = RunDirectory(runs / "first")
    run.alias_json.write_bytes(content)
    assert run.alias is None
    assert "first" in output(capsys, "ls", "--runs-dir", runs)


def test_many_tag_at_once(runs: Path) -> None:
    run = RunDirectory(runs / "first")
    threads = [threading.Thread(target=change_tags, args=(run, [f"tag-{number}"])) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read_tags(run) == tuple(f"tag-{number}" for number in range(8))


class TestRemoving:
    def test_a_run_that_trains_stays(self, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
        error = output(capsys, "rm", "first", "third", "--yes", "--runs-dir", runs, code=2)
        assert "third is running; stop it first" in error
        assert (runs / "first").exists(), "nothing is removed where one cannot be"

    def test_a_run_that_only_begins_stays(self, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
        run = RunDirectory(runs / "first")
        with run.lock():
            assert "is training this run" in output(capsys, "rm", "first", "--yes", "--runs-dir", runs, code=2)
        assert run.run_json.exists()

    def test_nobody_is_asked_where_nobody_is(self, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert "--yes" in output(capsys, "rm", "first", "--runs-dir", runs, code=2)
        assert (runs / "first").exists()

    def test_it_is_gone_and_leaves_nothing(self, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
        die_running(RunDirectory(runs / "first"))  # lost, so nobody trains it
        left = runs / ".trash-old-1"
        left.mkdir()
        os.utime(left, (time.time() - 7200,) * 2)
        output(capsys, "rm", "first", runs / "first", "second", "--yes", "--runs-dir", runs)
        assert os.listdir(runs) == ["third"]


def test_a_name_that_is_none_says_what_is_near(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for action in ("show", "tag", "rm", "pause"):
        assert "did you mean 'first'" in output(capsys, action, "frist", "--runs-dir", runs, code=2)


def test_the_package_is_light() -> None:
    """No torch, numpy, pydantic for whoever lists and steers runs; the dashboard stands on this."""
    script = (
        "import sys\nfrom nanochat_framework.cli import main\n"
        "main(['runs', 'ls']); main(['runs', 'tag', 'x'])\n"
        "import nanochat_framework.runs.controller, nanochat_framework.runs.facts\n"
        "print(*{'torch', 'numpy', 'pydantic', 'nanochat_framework.plugins'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == ""


def test_tags_of_a_folder_that_cannot_be_written(runs: Path) -> None:
    run = RunDirectory(runs / "first")
    (run.path / ".tags.lock").mkdir()
    with pytest.raises(UsageError, match="cannot be written"):
        change_tags(run, ["a"])


def test_asking_without_an_answer(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`third` says that it trains, in this process, and nobody reads what it is asked."""
    identity = json.loads(output(capsys, "pause", "third", "--no-wait", "--json", "--runs-dir", runs))["id"]
    assert json.loads((runs / "third" / "control.jsonl").read_text())["id"] == identity
    error = output(capsys, "eval", "third", "--timeout", "0.1", "--runs-dir", runs, code=1)
    assert "third: eval: no answer after 0.1 s; the run is running at step 2" in error
    assert "is finished (there is nothing left to train)" in output(capsys, "stop", "first", "--runs-dir", runs, code=2)
    die_running(RunDirectory(runs / "first"))
    assert "is lost (its process is gone" in output(capsys, "stop", "first", "--runs-dir", runs, code=2)
    assert json.loads(output(capsys, "set", "first", "lr_scale=0.5", "--json", "--runs-dir", runs))["id"]
    (runs / "third" / "control.jsonl").unlink()
    (runs / "third" / "control.jsonl").mkdir()
    assert "control.jsonl: " in output(capsys, "pause", "third", "--runs-dir", runs, code=2)
