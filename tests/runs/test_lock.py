from __future__ import annotations

import errno
import os
import signal
import time
from pathlib import Path

import pytest

from nanochat_framework.errors import UsageError
from nanochat_framework.runs import lock
from nanochat_framework.runs.lock import hold
from tests.other_process import doing

HOLDER = """
import sys, time
from pathlib import Path
from nanochat_framework.runs import lock
if sys.argv[2] == "files":
    lock.fcntl = None
with lock.hold(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture(params=["flock", "files"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The system's lock, and what is done where there is none."""
    if request.param == "files":
        monkeypatch.setattr(lock, "fcntl", None)
    return str(request.param)


def test_a_second_process_is_told_who_holds_it(tmp_path: Path, way: str) -> None:
    path = tmp_path / ".lock"
    with doing(HOLDER, path, way) as process, pytest.raises(UsageError) as error, hold(path):
        pass
    assert f"process {process.pid} on " in str(error.value)
    assert str(error.value).startswith(f"{tmp_path}: ")
    assert "\n" not in str(error.value)


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path, way: str) -> None:
    path = tmp_path / ".lock"
    with doing(HOLDER, path, way) as process:
        process.send_signal(signal.SIGKILL)
        deadline = time.monotonic() + 30
        while True:
            try:
                with hold(path):
                    break
            except UsageError:
                assert time.monotonic() < deadline
                time.sleep(0.01)


def test_it_is_free_again_after_the_block_however_that_ends(tmp_path: Path, way: str) -> None:
    path = tmp_path / ".lock"
    with pytest.raises(ZeroDivisionError), hold(path):
        raise ZeroDivisionError
    with hold(path):
        assert str(os.getpid()) in path.read_text()
    assert path.read_text() == ""
    assert os.listdir(tmp_path) == [".lock"]


def test_the_same_process_cannot_hold_it_twice(tmp_path: Path, way: str) -> None:
    path = tmp_path / ".lock"
    with hold(path):
        with pytest.raises(UsageError, match=f"process {os.getpid()} "), hold(path):
            pass
        with pytest.raises(UsageError, match=f"process {os.getpid()} "), hold(path):  # the refusal took nothing away
            pass


def test_a_file_system_without_locks_has_them_by_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", flock)
    path = tmp_path / ".lock"
    with hold(path), pytest.raises(UsageError, match=r"remove .*\.lock\.owner"), hold(path):
        pass


def test_a_holder_on_another_machine_is_not_taken_for_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "fcntl", None)
    owner = tmp_path / ".lock.owner"
    owner.write_text('{"pid": 1073741824, "started": 1, "namespace": null, "host": "another"}')
    with (
        pytest.raises(UsageError, match=r"process 1073741824 on another .* remove .*\.lock\.owner"),
        hold(tmp_path / ".lock"),
    ):
        pass
    assert owner.exists()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": "x"}', "null"])
def test_an_unreadable_owner_is_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    monkeypatch.setattr(lock, "fcntl", None)
    (tmp_path / ".lock.owner").write_text(content)
    with pytest.raises(UsageError, match="another process is training this run"), hold(tmp_path / ".lock"):
        pass


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written"), hold(tmp_path / "nowhere" / ".lock"):
        pass
