from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nanochat_framework.runs.process import is_alive, pid_namespace, start_time

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX processes")
needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="this system has no /proc")


def test_this_process_is_alive() -> None:
    assert is_alive(os.getpid(), start_time(os.getpid())) is True
    assert is_alive(os.getpid(), None) is True


@needs_proc
def test_a_reused_pid_is_another_process() -> None:
    started = start_time(os.getpid())
    assert started is not None
    assert is_alive(os.getpid(), started + 1) is False
    assert pid_namespace() is not None


def test_an_ended_process_is_dead_and_so_is_a_zombie() -> None:
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    if Path("/proc/self/stat").exists():
        deadline = time.monotonic() + 30
        while is_alive(process.pid, None) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert is_alive(process.pid, None) is False  # ended, and not yet waited for
    process.wait()
    assert is_alive(process.pid, None) is False
    assert start_time(process.pid) is None


@pytest.mark.parametrize("pid", [0, -1, -(2**40), 2**40])
def test_what_is_no_pid_is_dead(pid: int) -> None:
    assert is_alive(pid, None) is False


@needs_proc
def test_a_name_with_brackets_and_blanks_does_not_confuse_it(tmp_path: Path) -> None:
    program = tmp_path / "a) b (c 1 2 3"
    program.symlink_to("/bin/sleep")
    process = subprocess.Popen([str(program), "60"])
    try:
        here = start_time(os.getpid())
        started = start_time(process.pid)
        assert here is not None
        assert started is not None
        assert started >= here
        assert is_alive(process.pid, started) is True
    finally:
        process.kill()
        process.wait()
