"""What is left of a store when its writer is killed, and when the disk is full."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nanochat_framework.runs.checkpoint_store import CheckpointStore, DiskFull, step_name
from tests.other_process import doing
from tests.runs.checkpoint_folders import fill, names, writer
from tests.small_disk import small_disk

SLOW_WRITER = """
import sys, time
from pathlib import Path
from nanochat_framework.runs.checkpoint_store import CheckpointStore, step_name

def write(folder):
    (folder / "model.safetensors").write_bytes(b"half a model")
    print("writing", flush=True)
    time.sleep(600)

CheckpointStore(Path(sys.argv[1])).write(sys.argv[2], write)
"""


@pytest.mark.parametrize("name", [step_name(1), step_name(2), "final"])
def test_a_writer_killed_inside_a_write_leaves_what_was_there(store: CheckpointStore, name: str) -> None:
    fill(store, 1)
    with doing(SLOW_WRITER, store.root, name) as process:
        process.send_signal(signal.SIGKILL)
    left = [entry for entry in names(store) if entry.startswith(f".tmp-{name}-{process.pid}")]
    assert len(left) == 1
    again = CheckpointStore(store.root)
    assert again.latest() == store.root / step_name(1)
    assert again.steps() == [(1, store.root / step_name(1))]
    assert left[0] in names(again)  # reading changes nothing
    fill(again, 3)
    assert names(again) == ["LATEST", step_name(1), step_name(3)]


def test_what_a_living_writer_is_writing_is_left_alone(store: CheckpointStore) -> None:
    fill(store, 1)
    with doing(SLOW_WRITER, store.root, step_name(2)):
        fill(CheckpointStore(store.root), 3)
        assert len([name for name in names(store) if name.startswith(".tmp-step_00000002-")]) == 1
    CheckpointStore(store.root).recover()
    assert names(store) == ["LATEST", step_name(1), step_name(3)]


DYING_WRITER = """
import os, signal, sys
from pathlib import Path
from nanochat_framework.runs import checkpoint_store
from nanochat_framework.runs.checkpoint_store import CheckpointStore

left = int(sys.argv[3])

def dying(function):
    def call(*arguments, **options):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)
    return call

for name in ("rename", "replace", "fsync", "link", "unlink", "rmdir", "mkdir"):
    setattr(os, name, dying(getattr(os, name)))
store = CheckpointStore(Path(sys.argv[1]))
if sys.argv[2] == "link":
    store.link("step_00000002", "best")
elif sys.argv[2] == "prune":
    store.prune(1)
else:
    store.write(sys.argv[2], lambda folder: (folder / "model.safetensors").write_bytes(b"new"))
"""


@pytest.mark.parametrize("action", [step_name(2), step_name(3), "link", "prune"])
def test_killed_at_any_system_call_every_name_is_whole_and_what_was_there_is_there(
    store: CheckpointStore, action: str
) -> None:
    for call in range(1, 60):
        shutil.rmtree(store.root, ignore_errors=True)
        fill(CheckpointStore(store.root), 1, 2)
        CheckpointStore(store.root).link(step_name(1), "best")
        command = [sys.executable, "-c", DYING_WRITER, str(store.root), action, str(call)]
        died = subprocess.run(command, check=False).returncode == -signal.SIGKILL

        reader = CheckpointStore(store.root)
        latest = reader.latest()
        assert latest is not None
        assert reader.verify(reader.path("best")) == []
        steps = [step for step, _ in reader.steps()]
        assert steps[-1] >= 2
        if action != "prune":
            assert steps[:2] == [1, 2]
        assert all(reader.verify(folder) == [] for _, folder in reader.steps())
        CheckpointStore(store.root).recover()
        assert not any(name.startswith(".") for name in names(store)), (
            f"left after death at call {call}: {names(store)}"
        )
        assert [step for step, _ in CheckpointStore(store.root).steps()] == steps
        assert reader.verify(store.root / "best") == []
        if not died:
            assert call > 5
            return
    raise AssertionError("never got to the end")


TOO_LARGE = """
import resource, sys
from pathlib import Path
from nanochat_framework.errors import NanochatError
from nanochat_framework.runs.checkpoint_store import CheckpointStore, step_name

def write(folder):
    (folder / "model.safetensors").write_bytes(b"x" * 100_000)

store = CheckpointStore(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    store.write(step_name(2), write)
except NanochatError as error:
    print(type(error).__name__, error)
"""


def test_a_file_over_the_size_limit_is_one_line_and_nothing_is_lost(store: CheckpointStore) -> None:
    command = [sys.executable, "-c", TOO_LARGE, str(store.root)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert output.startswith(f"DiskFull {store.root / step_name(2)}: cannot be written: file too large (")
    assert output.endswith("; there is no earlier checkpoint\n")
    store.write(step_name(1), writer(b"x" * 20_000))
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert output.count("\n") == 1
    assert "(about 0.04 MB needed, " in output
    assert output.endswith("; checkpoint step_00000001 is intact\n")
    assert names(store) == ["LATEST", step_name(1)]
    assert store.latest() == store.root / step_name(1)


@pytest.fixture
def megabyte(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    with small_disk(tmp_path / "small", "1m") as folder:
        yield folder


def test_a_full_disk_keeps_the_earlier_checkpoint(megabyte: Path) -> None:
    store = CheckpointStore(megabyte / "checkpoints")
    store.write(step_name(1), writer(b"x" * 200_000))
    for _ in range(3):
        with pytest.raises(DiskFull, match=r"no space left on device \(about 0.40 MB needed, .* is intact") as error:
            store.write(step_name(2), writer(b"x" * 500_000))
        assert "\n" not in str(error.value)
    assert store.latest() == store.root / step_name(1)
    assert names(store) == ["LATEST", step_name(1)]
    store.write(step_name(2), writer(b"x" * 200_000))  # there is room for this: nothing was leaked
    assert store.latest() == store.root / step_name(2)


def test_a_full_disk_inside_safetensors_is_known_as_one(megabyte: Path) -> None:
    numpy = pytest.importorskip("numpy")
    from safetensors.numpy import save_file

    store = CheckpointStore(megabyte / "checkpoints")
    fill(store, 1)
    too_large = {"weight": numpy.zeros(2_000_000, dtype=numpy.uint8)}
    with pytest.raises(DiskFull, match="checkpoint step_00000001 is intact"):
        store.write(step_name(2), lambda folder: save_file(too_large, folder / "model.safetensors"))
    assert names(store) == ["LATEST", step_name(1)]


def test_a_copied_link_that_does_not_fit_keeps_the_earlier_one(megabyte: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(source: object, target: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    store = CheckpointStore(megabyte / "checkpoints")
    fill(store, 1)
    store.link(step_name(1), "best")
    store.write(step_name(2), writer(b"x" * 300_000))
    with pytest.raises(DiskFull, match="best: cannot be written: no space left"):
        store.link(step_name(2), "best")
    assert (store.root / "best" / "model.safetensors").read_bytes() == b"step 1"
