from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nanochat_framework.runs.atomic import DiskFull, disk_full_reason, write_atomic


def test_it_replaces_the_whole_content_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    path.write_bytes(b"a much longer earlier content")
    write_atomic(path, b"new")
    write_atomic(path, b"newer", sync=False)
    assert path.read_bytes() == b"newer"
    assert os.listdir(tmp_path) == ["status.json"]


def test_a_failure_leaves_the_old_file_and_no_temporary(tmp_path: Path) -> None:
    path = tmp_path / "taken"
    (path / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match="irectory"):
        write_atomic(path, b"new")
    assert os.listdir(tmp_path) == ["taken"]
    assert (path / "inside").is_dir()


def test_a_file_over_the_size_limit_is_disk_full_and_the_old_one_stays(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    script = f"""
import resource
from pathlib import Path
from nanochat_framework.runs.atomic import DiskFull, write_atomic
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_atomic(Path({str(path)!r}), b"x" * 5000)
except DiskFull as error:
    print(error)
"""
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert output == f"{path}: cannot be written: file too large\n"
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def raised(error: Exception, cause: Exception | None = None, *, hidden: bool = False) -> Exception:
    """The error as it arrives when it is raised while `cause` is handled."""
    try:
        try:
            if cause is not None:
                raise cause
            raise error
        except Exception as first:
            if first is error:
                raise
            if hidden:
                raise error from None
            raise error from first
    except Exception as outer:
        return outer


NO_SPACE = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (NO_SPACE, True),
        (OSError(errno.EDQUOT, "quota"), True),
        (OSError(errno.EFBIG, "large"), True),
        (OSError(errno.EACCES, "denied"), False),
        (RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"), True),
        (RuntimeError('IoError(Os { code: 28, kind: StorageFull, message: "No space left on device" })'), True),
        (RuntimeError("I/O error: Permission denied (os error 13)"), False),
        (OSError(errno.EIO, "I/O error: No space left on device (os error 28)"), True),
        (raised(ValueError("cannot save"), NO_SPACE), True),
        (raised(ValueError("something else"), NO_SPACE, hidden=True), False),
        (ValueError("28"), False),
    ],
)
def test_a_full_disk_is_known_however_it_is_wrapped(error: Exception, full: bool) -> None:
    assert (disk_full_reason(error) is not None) == full


def test_disk_full_is_a_failure_and_no_usage_error() -> None:
    assert DiskFull("x").exit_code == 1
