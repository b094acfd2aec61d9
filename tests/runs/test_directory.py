from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanochat_framework.errors import NanochatError, UsageError
from nanochat_framework.runs.atomic import DiskFull
from nanochat_framework.runs.directory import RunDirectory, check_name, default_runs_dir, find_to_resume

SOURCE = b'# mine\r\n[model]\nname = "decoder"\n\xff'


def create(runs_dir: Path, name: str | None = None, **changes: Any) -> RunDirectory:
    arguments: dict[str, Any] = {
        "label": "nano_125m",
        "sources": [("my.toml", SOURCE), ("base/base.toml", b"x = 1")],
        "resolved": {"train": {"steps": 5, "lr": 0.1}, "limit": float("inf")},
        "components_lock": [{"kind": "model", "name": "decoder"}],
        "overrides": ["train.steps=5"],
        "argv": ["nanochat", "train", "nano-125m"],
    }
    return RunDirectory.create(runs_dir, name, **{**arguments, **changes})


def test_a_new_run_has_what_it_was_made_from(tmp_path: Path) -> None:
    run = create(tmp_path / "deep" / "runs", "first", parent="earlier@step_00000010")
    assert run.name == "first"
    assert [copy.read_bytes() for copy in run.config_sources()] == [SOURCE, b"x = 1"]
    assert run.config_sources() == [run.path / "config.source.toml", run.path / "config.source.1.toml"]
    resolved = run.config_resolved.read_bytes()
    assert json.loads(resolved) == {"train": {"steps": 5, "lr": 0.1}, "limit": "Infinity"}
    assert json.loads(run.components_lock.read_text()) == [{"kind": "model", "name": "decoder"}]
    info = RunDirectory.open(run.path).info()
    assert info["name"] == "first"
    assert info["argv"] == ["nanochat", "train", "nano-125m"]
    assert info["overrides"] == ["train.steps=5"]
    assert info["config_sources"] == ["my.toml", "base/base.toml"]
    assert info["parent"] == "earlier@step_00000010"
    assert info["config_sha256"] == hashlib.sha256(resolved).hexdigest()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", info["created"])
    assert re.fullmatch("[0-9a-f]{32}", info["id"])
    assert {"host", "framework", "python", "platform", "schema_version"} <= info.keys()
    assert run.checkpoints.is_dir()
    assert os.listdir(tmp_path / "deep" / "runs") == ["first"]


def test_a_run_without_a_name_gets_the_date_the_label_and_a_number(tmp_path: Path) -> None:
    names = [create(tmp_path, label="my config!").name for _ in range(3)]
    date = time.strftime("%Y-%m-%d")
    assert names == [f"{date}_my_config_-000{i}" for i in (1, 2, 3)]
    assert len({run.info()["id"] for run in RunDirectory.all(tmp_path)}) == 3


def test_runs_made_at_the_same_time_get_different_names(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(lambda _: create(tmp_path), range(24)))
    assert len({run.name for run in runs}) == 24
    assert all(run.info()["name"] == run.name for run in runs)
    assert len(os.listdir(tmp_path)) == 24


def test_of_two_that_want_one_name_one_gets_it(tmp_path: Path) -> None:
    def attempt(_: int) -> bool:
        try:
            create(tmp_path, "wanted")
        except UsageError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(16))) == 1
    assert os.listdir(tmp_path) == ["wanted"]


def test_a_taken_name_is_one_line_that_says_how_to_go_on(tmp_path: Path) -> None:
    before = create(tmp_path, "first").run_json.read_bytes()
    with pytest.raises(
        UsageError, match=r"first: the name is taken; `nanochat resume .*first` continues .* --run"
    ) as error:
        create(tmp_path, "first")
    assert "\n" not in str(error.value)
    assert (tmp_path / "first" / "run.json").read_bytes() == before
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match="folder: exists and is not a run"):
        create(tmp_path, "folder")
    assert sorted(os.listdir(tmp_path)) == ["first", "folder"]


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".hidden", "-rf", "a/b", "../a", "a\\b", "a b", "a\n", "a\0", "ü", "x" * 129, "a:b", "*"]
)
def test_a_name_that_is_no_folder_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="--run .*not a name for a run") as error:
        create(tmp_path / "runs", name)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "runs").exists()


@given(st.text())
def test_a_name_that_is_taken_stays_inside_the_folder_of_runs(name: str) -> None:
    try:
        check_name(name)
    except UsageError:
        return
    assert Path(name).name == name
    assert not name.startswith((".", "-"))


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"file/runs: cannot make a run there \(Not a directory\)"):
        create(tmp_path / "file" / "runs", "first")


def test_nothing_is_left_when_it_does_not_fit(tmp_path: Path) -> None:
    script = f"""
import resource
from pathlib import Path
from nanochat_framework.runs.atomic import DiskFull
from tests.runs.test_directory import create
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    create(Path({str(tmp_path)!r}), "first", resolved={{"text": "x" * 5000}})
except DiskFull as error:
    print(error)
"""
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert output == f"{tmp_path}: cannot make a run there: file too large\n"
    assert os.listdir(tmp_path) == []
    assert not issubclass(DiskFull, UsageError)


def test_what_a_killed_creation_left_is_removed_once_it_is_old(tmp_path: Path) -> None:
    old, fresh = tmp_path / ".new-old", tmp_path / ".new-fresh"
    for folder in (old, fresh):
        (folder / "checkpoints").mkdir(parents=True)
    os.utime(old, (0, 0))
    create(tmp_path, "first")
    assert sorted(os.listdir(tmp_path)) == [".new-fresh", "first"]
    assert [run.name for run in RunDirectory.all(tmp_path)] == ["first"]


def test_a_run_is_found_by_name_and_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = create(tmp_path / "runs", "first")
    assert RunDirectory.find(tmp_path / "runs", "first") == run
    assert RunDirectory.find(tmp_path / "elsewhere", str(run.path)) == run
    monkeypatch.chdir(run.path)
    assert RunDirectory.find(tmp_path, ".").name == "first"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nano-oen", "did you mean 'nano-one'"),
        ("zzz", "there are: nano-one, other"),
        ("", "there are"),
        ("x" * 5000, "there are"),
        ("a\0b", "there are"),
    ],
)
def test_an_unknown_run_is_one_line_with_near_names(tmp_path: Path, name: str, message: str) -> None:
    create(tmp_path, "nano-one")
    create(tmp_path, "other")
    (tmp_path / "no-run").mkdir()
    with pytest.raises(UsageError, match=message) as error:
        RunDirectory.find(tmp_path, name)
    assert "\n" not in str(error.value)


def test_no_runs_at_all(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no run 'first' in .*, and no run at all"):
        RunDirectory.find(tmp_path / "nowhere", "first")
    assert RunDirectory.all(tmp_path / "nowhere") == []


def test_a_folder_that_is_no_run_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"not a run \(it has no run.json\)"):
        RunDirectory.open(tmp_path)


@pytest.mark.parametrize("damage", [lambda p: p.write_text("{"), lambda p: p.write_text("[]"), lambda p: p.unlink()])
def test_a_damaged_run_json_is_one_line(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    run = create(tmp_path, "first")
    damage(run.run_json)
    with pytest.raises(NanochatError, match=r"run.json: (cannot be read|is not)"):
        run.info()


def test_where_runs_live(monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_runs_dir({}) == Path("runs")
    assert default_runs_dir({"NANOCHAT_RUNS_DIR": ""}) == Path("runs")
    assert default_runs_dir({"NANOCHAT_RUNS_DIR": "/data/runs"}) == Path("/data/runs")
    monkeypatch.setenv("HOME", "/home/ada")
    assert default_runs_dir({"NANOCHAT_RUNS_DIR": "~/runs"}) == Path("/home/ada/runs")


def test_the_run_directory_needs_neither_torch_nor_numpy() -> None:
    script = """
import sys
from nanochat_framework.runs import atomic, checkpoint_store, directory, events, jsonlines, lock, metrics, process, status
print({"torch", "numpy", "pydantic"} & set(sys.modules))
"""
    assert (
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "set()\n"
    )


def test_a_path_that_ends_in_dots_is_that_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = create(tmp_path / "runs", "first")
    (run.checkpoints / "step_00000004").mkdir()
    (tmp_path / "link").symlink_to(run.path)
    (tmp_path / "deep").symlink_to(run.checkpoints)
    monkeypatch.chdir(run.checkpoints)
    for named, found in (
        ("..", run.path),
        ("../../first", Path("../../first")),
        ("../../first/checkpoints/..", run.path),
        (str(run.checkpoints / ".."), run.path),
        (str(tmp_path / "link"), tmp_path / "link"),
        (str(tmp_path / "link" / "checkpoints" / ".."), tmp_path / "link"),
        (str(tmp_path / "deep" / ".."), run.path.resolve()),
    ):
        assert RunDirectory.find(tmp_path / "none", named).path == found
        assert find_to_resume(named, tmp_path / "none") == (RunDirectory(found), None)
    assert RunDirectory.find(tmp_path / "runs", "first/checkpoints/..") == run
    monkeypatch.chdir(run.path)
    assert RunDirectory.find(tmp_path / "none", ".") == run
    for named in ("checkpoints/step_00000004", "checkpoints/../checkpoints/step_00000004"):
        assert find_to_resume(named, tmp_path / "none") == (run, "step_00000004")


def test_what_to_resume_is_a_run_or_one_of_its_checkpoints(tmp_path: Path) -> None:
    run = create(tmp_path / "runs", "first")
    checkpoint = run.checkpoints / "step_00000004"
    checkpoint.mkdir()
    assert find_to_resume("first", tmp_path / "runs") == (run, None)
    assert find_to_resume(str(run.path), tmp_path) == (run, None)
    assert find_to_resume(str(checkpoint), tmp_path) == (run, "step_00000004")
    for wrong in ("second", str(tmp_path / "checkpoints" / "step_00000004"), "x" * 300, "a\0/checkpoints/b"):
        with pytest.raises(UsageError):
            find_to_resume(wrong, tmp_path / "runs")
