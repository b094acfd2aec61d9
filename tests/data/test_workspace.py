"""Files that appear together, and work that is found again by the same request alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nanochat_framework.data import workspace as module
from nanochat_framework.data.workspace import Workspace
from nanochat_framework.errors import UsageError

REQUEST = {"text": "abc", "vocab_size": 300}


def _begin(folder: Path) -> None:
    with Workspace(folder, REQUEST) as work:
        assert not work.resumed
        with work.open("a", 0) as file:
            file.write(b"good")
            work.commit([file], {"size": 4})
            file.write(b" and torn")


def test_work_goes_on_from_the_journal(tmp_path: Path) -> None:
    _begin(tmp_path)
    with Workspace(tmp_path, REQUEST) as work:
        assert work.resumed
        assert not work.changes
        assert work.journal() == {"size": 4}
        with work.open("a", 4) as file:
            file.write(b" more")
        assert work.path("a").read_bytes() == b"good more"


def test_another_request_starts_anew_and_tells_why(tmp_path: Path) -> None:
    _begin(tmp_path)
    with Workspace(tmp_path, {**REQUEST, "vocab_size": 400}) as work:
        assert not work.resumed
        assert work.changes == ["vocab size was 300, is 400"]
        assert work.journal() is None
        assert not work.path("a").exists()


def test_files_appear_together(tmp_path: Path) -> None:
    (tmp_path / "stale").write_text("of an earlier time")
    with Workspace(tmp_path, REQUEST) as work:
        work.write("here", "1")
        work.publish({"a": "here"}, last="last.json", content={"n": 2}, stale=["stale"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "last.json"]
    assert (tmp_path / "a").read_text() == "1"


@pytest.mark.parametrize("survived", [0, 1, 2])
def test_publishing_that_was_killed_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, survived: int) -> None:
    left = [survived]
    replace = os.replace

    def dying(source: Path, target: Path) -> None:
        if not left[0]:
            raise ZeroDivisionError
        left[0] -= 1
        replace(source, target)

    (tmp_path / "last.json").write_text("old")
    with Workspace(tmp_path, REQUEST) as work:
        work.write("a", "1")
        work.write("b", "2")
        write = work._write

        def write_then_die_renaming(name: str, content: dict) -> None:
            write(name, content)
            monkeypatch.setattr(module.os, "replace", dying)

        monkeypatch.setattr(work, "_write", write_then_die_renaming)
        with pytest.raises(ZeroDivisionError):
            work.publish({"a": "a", "b": "b"}, last="last.json", content={"n": 2}, stale=[])
    monkeypatch.undo()
    assert not (tmp_path / "last.json").exists(), "nobody takes a half for the whole"
    with Workspace(tmp_path, REQUEST) as work:
        assert work.ready() is not None
        work.finish()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "last.json"]


def test_two_processes_do_not_work_in_one_folder(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from nanochat_framework.data.workspace import Workspace\n"
        "with Workspace(Path(sys.argv[1]), {}): print('in', flush=True); input()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "in\n"
    with pytest.raises(UsageError, match=f"process {other.pid} .*is preparing data there"), Workspace(tmp_path, {}):
        pass
    other.communicate("\n")
    with Workspace(tmp_path, {}) as work:
        assert work.resumed


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write there"), Workspace(tmp_path / "file" / "in it", REQUEST):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UsageError, match="cannot write there"), Workspace(tmp_path, REQUEST):
        pass
