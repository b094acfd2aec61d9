"""`nanochat checkpoints` over folders as trainings leave them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nanochat_framework.cli import main
from nanochat_framework.runs.checkpoint_store import CheckpointStore, step_name
from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.events import begin_attempt
from nanochat_framework.runs.metrics import MetricsLog
from nanochat_framework.runs.status import StatusFile


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """Three checkpoints; the second evaluation was done again by a later attempt."""
    run = RunDirectory.create(
        tmp_path, "first", sources=[("x.toml", b"")], resolved={}, components_lock=[], overrides=[], argv=[]
    )
    for attempt, begins, scores in ((1, 0, {100: 3.0, 200: 9.0}), (2, 100, {200: 2.5, 250: 2.4})):
        begin_attempt(run.events, begins).close()
        log = MetricsLog(run.metrics, attempt)
        for step, loss in scores.items():
            log.write(step=step, tokens=step, values={"train/loss": loss})
            log.write(step=step, tokens=step, values={"eval/loss": loss, "eval/bits_per_byte": loss / 2})
        log.close()
    store = CheckpointStore(run.checkpoints)
    for step in (100, 200, 300):
        store.write(step_name(step), lambda folder: (folder / "weights").write_bytes(b"x" * 2_000_000) and None)
    store.link(step_name(200), "best")
    StatusFile(run.status).update(state="finished", step=300)
    return run


def output(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> str:
    assert main(["checkpoints", *map(str, arguments)]) == code
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return captured.out if code == 0 else captured.err


def listed(capsys: pytest.CaptureFixture[str], run: RunDirectory, *arguments: str) -> dict[str, dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(output(capsys, "ls", run.path, "--json", *arguments))
    return {each["name"]: each for each in found}


def test_the_list(run: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    found = listed(capsys, run)
    assert list(found) == [*map(step_name, (100, 200, 300)), "best"]
    assert [each["eval_loss"] for each in found.values()] == [3.0, 2.5, None, 2.5]
    assert found["best"]["same_as"] == [step_name(200)]
    assert found[step_name(300)]["bytes"] == 2_000_000
    text = output(capsys, "ls", run.path)
    assert "step_00000200  200   2.0  2.5000    1.2500" in text
    assert text.count("whole") == 4


def test_an_event_that_is_lost(run: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    run.events.unlink()
    assert listed(capsys, run)[step_name(200)]["eval_loss"] == 2.5


def test_verify_tells_where_it_is(
    run: RunDirectory, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NANOCHAT_PROGRESS_SECONDS", "0")
    assert main(["checkpoints", "ls", str(run.path)]) == 0
    assert capsys.readouterr().err == ""
    assert main(["checkpoints", "ls", str(run.path), "--verify"]) == 0
    assert capsys.readouterr().err.splitlines()[-1] == "reading best…"


def test_verify_reads_every_byte(run: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    (run.checkpoints / step_name(100) / "weights").write_bytes(b"y" * 2_000_000)
    assert listed(capsys, run)[step_name(100)]["problem"] is None
    assert "SHA-256" in listed(capsys, run, "--verify")[step_name(100)]["problem"]


def test_keep_and_unkeep(run: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    output(capsys, "keep", run.path, 100, step_name(200))
    assert [each["kept"] for each in listed(capsys, run).values()] == [True, True, False, False]
    assert main(["runs", "show", str(run.path), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)["checkpoints"]
    assert [each.get("kept", False) for each in shown] == [True, True, False, False]
    assert "step_00000100 is kept" in output(capsys, "rm", run.path, "100", "--yes", code=2)
    assert CheckpointStore(run.checkpoints).prune(1) == []
    output(capsys, "unkeep", run.path, "100")
    assert CheckpointStore(run.checkpoints).prune(1) == [step_name(100)]
    assert "is never pruned" in output(capsys, "keep", run.path, "best", code=2)
    assert "there is no checkpoint 'nine'; there are: step_00000200" in output(capsys, "keep", run.path, "nine", code=2)


def test_a_checkpoint_of_elsewhere_is_no_checkpoint_of_the_run(
    run: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = RunDirectory.create(
        tmp_path, "other", sources=[("x.toml", b"")], resolved={}, components_lock=[], overrides=[], argv=[]
    )
    elsewhere = CheckpointStore(other.checkpoints).write(
        step_name(5), lambda folder: (folder / "weights").write_bytes(b"x") and None
    )
    CheckpointStore(run.checkpoints).rewind(200)
    names = ("../../other/checkpoints/step_00000005", str(elsewhere), ".", "..", "", "superseded", "LATEST")
    for name in (
        *names,
        "superseded/step_00000300",
        "step_00000100/",
        "\u0661\u0660\u0660",
        "x" * 5000,
        "1" * 5000,
        "a\0b",
    ):
        for action in (("keep",), ("rm", "--yes")):
            said = output(capsys, action[0], run.path, name, *action[1:], code=2)
            assert "there is no checkpoint" in said and "there are: step_00000100, step_00000200, best" in said
    assert list(listed(capsys, run)) == [step_name(100), step_name(200), "best"]
    assert not (elsewhere / "KEEP").exists() and elsewhere.is_dir()


def test_one_that_was_being_replaced_has_its_name(run: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    """Its writer died; the next one that writes gives the folder its name back."""
    (run.checkpoints / step_name(300)).rename(run.checkpoints / f".old-{step_name(300)}-1")
    assert list(listed(capsys, run)) == [*map(step_name, (100, 200, 300)), "best"]
    StatusFile(run.status).update(state="running")  # by this process
    with run.lock():
        assert "is running and would go on from" in output(capsys, "rm", run.path, "300", "--yes", code=2)
    StatusFile(run.status).update(state="finished")
    output(capsys, "rm", run.path, "300", "--yes")
    assert list(listed(capsys, run)) == [*map(step_name, (100, 200)), "best"]


def test_rm(run: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--yes removes without asking" in output(capsys, "rm", run.path, "300", code=2)
    output(capsys, "rm", run.path, "300", "best", "--yes")
    assert list(listed(capsys, run)) == [step_name(100), step_name(200)]
    assert (run.checkpoints / "LATEST").read_text() == "step_00000200\n"
    with run.lock():  # somebody begins to train
        assert "is training this run" in output(capsys, "rm", run.path, "100", "--yes", code=2)


def test_of_a_run_that_trains_the_newest_stays(run: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    StatusFile(run.status).update(state="running")  # by this process
    with run.lock():
        (run.checkpoints / step_name(300) / "weights").write_bytes(b"torn")
        for newest in ("200", "300"):  # the newest, and the newest that is whole
            assert "is running and would go on from" in output(capsys, "rm", run.path, newest, "--yes", code=2)
        (run.checkpoints / f".tmp-{step_name(400)}-1").mkdir()
        assert "is being written" in output(capsys, "rm", run.path, "400", "--yes", code=2)
        output(capsys, "rm", run.path, "100", "--yes")
    assert list(listed(capsys, run)) == [step_name(200), step_name(300), "best"]
