from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from nanochat_framework.errors import UsageError
from nanochat_framework.runs.atomic import DiskFull, disk_full_reason, new_file, new_folder, write_atomic


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


def fail_inside(made: AbstractContextManager[Path], error: Exception) -> None:
    """Write a part, then fail."""
    with made as temporary:
        (temporary / "half" if temporary.is_dir() else temporary).write_bytes(b"half")
        raise error


def test_a_new_file_is_there_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(b"old")
    with new_file(path) as temporary:
        temporary.write_bytes(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    with pytest.raises(ValueError, match="broken"):
        fail_inside(new_file(path), ValueError("broken"))
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["model"]


def test_a_new_folder_is_there_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "model"
    with pytest.raises(ValueError, match="broken"):
        fail_inside(new_folder(path), ValueError("broken"))
    assert os.listdir(tmp_path) == []
    path.mkdir()  # an empty one is taken
    with new_folder(path) as temporary:
        (temporary / "whole").write_bytes(b"new")
    assert (path / "whole").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["model"]


@pytest.mark.parametrize(
    ("make", "name", "expected"),
    [
        (new_file, "none/x", "none/x: the folder .*none does not exist"),
        (new_file, "folder", "folder: is a directory; give a file name"),
        (new_folder, "file", "file: is a file; name a folder"),
        (new_folder, "folder", "folder: is a folder with files in it"),
        (new_folder, "none/x", "none/x: the folder .*none does not exist"),
    ],
)
def test_what_is_in_the_way_is_said_before_anything_is_written(
    tmp_path: Path, make: Callable[[Path], AbstractContextManager[Path]], name: str, expected: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "inside").touch()
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=expected), make(tmp_path / name):
        raise AssertionError("the block is not entered")


def write_new_file(path: Path) -> None:
    """As `write_atomic`, by `new_file`."""
    with new_file(path) as temporary:
        temporary.write_bytes(b"new")


def write_at_once(path: Path) -> None:
    """`write_atomic`, with the same content."""
    write_atomic(path, b"new")


@pytest.mark.parametrize("write", [write_at_once, write_new_file])
def test_a_pipe_is_not_replaced_by_a_file_nor_is_a_link_to_one(tmp_path: Path, write: Callable[[Path], None]) -> None:
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for path in (pipe, link):
        with pytest.raises(UsageError, match=f"{path}: is a device or pipe, no file; name a file"):
            write(path)
    assert pipe.is_fifo() and link.is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["link", "pipe"]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="this system has no /proc/self/fd")
@pytest.mark.parametrize("write", [write_at_once, write_new_file])
def test_a_link_to_an_open_descriptor_stays_though_a_file_is_behind_it(
    tmp_path: Path, write: Callable[[Path], None]
) -> None:
    link = tmp_path / "stdout"  # as /dev/stdout is one, here of a regular file
    with (tmp_path / "redirected").open("wb") as file:
        link.symlink_to(f"/proc/self/fd/{file.fileno()}")
        with pytest.raises(UsageError, match="is a device or pipe"):
            write(link)
    assert link.is_symlink()


@pytest.mark.parametrize("write", [write_at_once, write_new_file])
def test_links_to_files_and_to_nothing_are_replaced(tmp_path: Path, write: Callable[[Path], None]) -> None:
    (tmp_path / "target").write_bytes(b"old")
    for name, target in (("link", "target"), ("dangling", "nothing")):
        (tmp_path / name).symlink_to(tmp_path / target)
        write(tmp_path / name)
        assert (tmp_path / name).read_bytes() == b"new"
    assert (tmp_path / "target").read_bytes() == b"old"


@pytest.mark.parametrize(
    ("error", "kind", "expected"),
    [
        (OSError(errno.ENOSPC, "No space left"), DiskFull, "cannot be written: no space left on device"),
        (RuntimeError("save failed (os error 28)"), DiskFull, "cannot be written: no space left on device"),
        (OSError(errno.EIO, "I/O"), UsageError, r"cannot be written \(input/output error\)"),
        (OSError("7 requested and 3 written"), UsageError, r"cannot be written \(7 requested and 3 written\)"),
    ],
)
def test_what_the_system_refuses_is_one_line(
    tmp_path: Path, error: Exception, kind: type[Exception], expected: str
) -> None:
    with pytest.raises(kind, match=expected):
        fail_inside(new_file(tmp_path / "x"), error)
    assert os.listdir(tmp_path) == []


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
