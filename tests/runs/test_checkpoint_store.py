from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanochat_framework.errors import NanochatError
from nanochat_framework.runs.checkpoint_store import CheckpointStore, DiskFull, step_name


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "checkpoints")


def writer(content: bytes = b"weights", meta: dict[str, object] | None = None) -> Callable[[Path], None]:
    """Writes a checkpoint of two files, one of them in a folder of its own."""

    def write(folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(content)
        (folder / "shards").mkdir()
        (folder / "shards" / "0.bin").write_bytes(content[::-1])
        if meta is not None:
            (folder / "meta.json").write_text(json.dumps(meta))

    return write


def fill(store: CheckpointStore, *steps: int) -> None:
    for step in steps:
        store.write(step_name(step), writer(f"step {step}".encode()))


def names(store: CheckpointStore) -> list[str]:
    return sorted(os.listdir(store.root))


def corrupt(folder: Path) -> None:
    """Change a byte, and no size."""
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)


def test_a_checkpoint_has_its_files_a_manifest_and_nothing_beside_it(store: CheckpointStore) -> None:
    folder = store.write(step_name(10), writer(b"abc"))
    assert folder == store.root / "step_00000010"
    assert (folder / "model.safetensors").read_bytes() == b"abc"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["step"] == 10
    assert manifest["files"] == {
        "model.safetensors": {
            "size": 3,
            "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        },
        "shards/0.bin": {
            "size": 3,
            "sha256": "6d970874d0db767a7058798973f22cf6589601edab57996312f2ef7b56e5584d",
        },
    }
    assert names(store) == ["LATEST", "step_00000010"]
    assert (store.root / "LATEST").read_text() == "step_00000010\n"
    assert store.verify(folder) == []


def test_the_newest_whole_checkpoint_is_chosen_by_step(store: CheckpointStore) -> None:
    assert store.latest() is None
    fill(store, 20, 9, 100_000_000)
    assert store.latest() == store.root / "step_100000000"
    assert [step for step, _ in store.steps()] == [9, 20, 100_000_000]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (corrupt, "model.safetensors is not what was written: its SHA-256 differs"),
        (
            lambda f: os.truncate(f / "model.safetensors", 2),
            "model.safetensors is not what was written: it has 2 bytes",
        ),
        (lambda f: (f / "shards" / "0.bin").unlink(), "shards/0.bin is missing"),
        (lambda f: (f / "manifest.json").unlink(), "no readable manifest.json"),
        (lambda f: os.truncate(f / "manifest.json", 30), "no readable manifest.json"),
        (lambda f: (f / "manifest.json").write_text('{"schema_version": 1, "files": {}}'), "no readable manifest"),
        (lambda f: (f / "manifest.json").write_text('{"schema_version": 99}'), "no readable manifest"),
        (
            lambda f: (f / "manifest.json").write_text(
                '{"schema_version": 1, "files": {"../x": {"size": 1, "sha256": ""}}}'
            ),
            "no readable manifest",
        ),
        (
            lambda f: (f / "manifest.json").write_text('{"schema_version": 1, "files": {"a": 1}}'),
            "no readable manifest",
        ),
    ],
)
def test_a_damaged_checkpoint_is_passed_over_with_a_reason_and_left_alone(
    store: CheckpointStore, damage: Callable[[Path], object], reason: str
) -> None:
    fill(store, 1, 2)
    damaged = store.root / step_name(2)
    damage(damaged)
    lines: list[str] = []
    assert store.latest(report=lines.append) == store.root / step_name(1)
    assert len(lines) == 1
    assert lines[0].startswith(f"{damaged}: passed over, it is not whole: ")
    assert reason in lines[0]
    assert reason in store.verify(damaged)[0]
    assert damaged.is_dir()


def test_what_is_passed_over_is_a_warning_unless_told_otherwise(
    store: CheckpointStore, caplog: pytest.LogCaptureFixture
) -> None:
    fill(store, 1, 2)
    corrupt(store.root / step_name(2))
    with caplog.at_level(logging.WARNING):
        store.latest()
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_all_problems_of_a_checkpoint_are_told(store: CheckpointStore) -> None:
    fill(store, 1)
    folder = store.root / step_name(1)
    corrupt(folder)
    shutil.rmtree(folder / "shards")
    (folder / "notes.txt").write_text("mine")  # nobody's concern
    assert len(store.verify(folder)) == 2
    assert store.verify(store.root / "nothing") == ["nothing: there is no such checkpoint"]


def test_final_counts_by_its_step(store: CheckpointStore) -> None:
    fill(store, 5)
    store.link(step_name(5), "final")
    assert store.latest() == store.root / step_name(5)
    shutil.rmtree(store.root / step_name(5))
    assert store.latest() == store.root / "final"
    fill(store, 6)
    assert store.latest() == store.root / step_name(6)
    store.write("final", writer(), step=7)
    assert store.latest() == store.root / "final"
    store.write("final", writer(meta={"step": 5}))
    assert store.latest() == store.root / step_name(6)
    store.write("final", writer())  # of an unknown step: never chosen
    shutil.rmtree(store.root / step_name(6))
    assert store.latest() is None


def test_a_link_shares_the_files_and_outlives_its_source(store: CheckpointStore) -> None:
    fill(store, 5)
    best = store.link(step_name(5), "best")
    assert (best / "shards" / "0.bin").samefile(store.root / step_name(5) / "shards" / "0.bin")
    shutil.rmtree(store.root / step_name(5))
    assert store.verify(best) == []


def test_a_link_is_a_copy_where_there_are_no_hard_links(
    store: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(source: object, target: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    fill(store, 5)
    monkeypatch.setattr(os, "link", link)
    best = store.link(step_name(5), "best")
    assert not (best / "model.safetensors").samefile(store.root / step_name(5) / "model.safetensors")
    assert store.verify(best) == []


def test_a_torn_checkpoint_is_not_given_a_further_name(store: CheckpointStore) -> None:
    fill(store, 4, 5)
    store.link(step_name(4), "best")
    (store.root / step_name(5) / "shards" / "0.bin").unlink()
    with pytest.raises(NanochatError, match=r"best: cannot be made from step_00000005: .*0.bin is missing"):
        store.link(step_name(5), "best")
    with pytest.raises(NanochatError, match="there is no such checkpoint"):
        store.link(step_name(6), "best")
    assert store.verify(store.root / "best") == []


def test_a_checkpoint_is_replaced_whole(store: CheckpointStore) -> None:
    fill(store, 1, 2)
    store.link(step_name(1), "best")
    store.link(step_name(2), "best")
    assert (store.root / "best" / "model.safetensors").read_bytes() == b"step 2"
    store.write(step_name(2), writer(b"again"))
    assert (store.root / step_name(2) / "model.safetensors").read_bytes() == b"again"
    assert (store.root / "best" / "model.safetensors").read_bytes() == b"step 2"  # a name of its own
    assert names(store) == ["LATEST", "best", step_name(1), step_name(2)]


@pytest.mark.parametrize("failure", [ValueError("nan"), KeyboardInterrupt(), OSError(errno.EIO, "I/O error")])
def test_a_failing_writer_changes_nothing(store: CheckpointStore, failure: BaseException) -> None:
    fill(store, 1)

    def write(folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(b"half")
        raise failure

    for name in (step_name(1), step_name(2)):
        with pytest.raises(type(failure)):
            store.write(name, write)
    assert names(store) == ["LATEST", step_name(1)]
    assert store.verify(store.root / step_name(1)) == []


def test_pruning_keeps_the_newest_and_further_names(store: CheckpointStore) -> None:
    fill(store, 1, 2, 3, 4)
    store.link(step_name(1), "best")
    assert store.prune(2) == [step_name(1), step_name(2)]
    assert names(store) == ["LATEST", "best", step_name(3), step_name(4)]
    assert store.prune(2) == []
    assert store.prune(0) == [step_name(3)]  # one is always kept
    assert store.verify(store.root / "best") == []


def test_what_is_kept_is_not_pruned_and_does_not_count(store: CheckpointStore) -> None:
    fill(store, 1, 2, 3, 4)
    store.keep(step_name(1))
    store.keep(step_name(4))
    assert store.prune(1) == [step_name(2)]
    assert [step for step, _ in store.steps()] == [1, 3, 4]
    assert store.verify(store.path(step_name(1))) == []
    fill(store, 1)  # written anew
    assert store.is_kept(store.path(step_name(1)))
    store.link(step_name(1), "best")
    assert not (store.root / "best" / "KEEP").exists()
    store.keep(step_name(1), kept=False)
    store.keep(step_name(1), kept=False)
    assert store.prune(1) == [step_name(1)]
    with pytest.raises(NanochatError, match="no such checkpoint"):
        store.keep(step_name(1))
    with pytest.raises(NanochatError, match="is never pruned"):
        store.keep("best")


def test_kept_at_the_moment_of_pruning(store: CheckpointStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look and the deed a person keeps it: it stays."""
    fill(store, 1, 2)
    rename = os.rename

    def late(source: Path, target: Path) -> None:
        if ".trash-" in str(target):
            store.keep(step_name(1))
        rename(source, target)

    monkeypatch.setattr(os, "rename", late)
    assert store.prune(1) == []
    assert store.verify(store.path(step_name(1))) == []


def test_removing_one(store: CheckpointStore) -> None:
    fill(store, 1, 2, 3)
    assert store.remove(step_name(3))
    assert (store.root / "LATEST").read_text() == "step_00000002\n"
    assert not store.remove(step_name(3))
    store.keep(step_name(1))
    assert not store.remove(step_name(1))
    assert names(store) == ["LATEST", step_name(1), step_name(2)]


STATES = st.lists(st.sampled_from(["whole", "corrupt", "torn"]), max_size=6)


@settings(deadline=None, max_examples=40)
@given(states=STATES, keep_last=st.integers(1, 4))
def test_pruning_never_removes_the_only_whole_checkpoint(
    tmp_path_factory: pytest.TempPathFactory, states: list[str], keep_last: int
) -> None:
    store = CheckpointStore(tmp_path_factory.mktemp("checkpoints"))
    for step, state in enumerate(states):
        folder = store.write(step_name(step), writer())
        if state == "corrupt":
            corrupt(folder)
        elif state == "torn":
            (folder / "manifest.json").unlink()
    newest = store.latest()
    removed = store.prune(keep_last)
    left = [step for step, _ in store.steps()]
    assert store.latest() == newest
    assert set(range(len(states))[-keep_last:]) <= set(left)
    assert len(left) <= keep_last + 1
    assert {step_name(step) for step in range(len(states))} == {*removed, *map(step_name, left)}


def test_a_rewind_sets_aside_what_lies_beyond(store: CheckpointStore) -> None:
    fill(store, 1, 2, 3)
    store.link(step_name(1), "best")
    store.link(step_name(3), "final")
    moved = store.rewind(1)
    assert sorted(path.name for path in moved) == ["final", step_name(2), step_name(3)]
    assert names(store) == ["LATEST", "best", step_name(1), "superseded"]
    assert store.latest() == store.root / step_name(1)
    assert (store.root / "LATEST").read_text() == "step_00000001\n"
    assert store.rewind(1) == []

    fill(store, 2)
    assert [path.name for path in store.rewind(0)] == [step_name(1), step_name(2) + "-2", "best"]
    assert not (store.root / "LATEST").exists()
    assert store.latest() is None
    assert all(store.verify(path) == [] for path in (store.root / "superseded").iterdir())


# What dead writers leave


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


@contextmanager
def slow_writer(store: CheckpointStore, name: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", SLOW_WRITER, str(store.root), name]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("name", [step_name(1), step_name(2), "final"])
def test_a_writer_killed_inside_a_write_leaves_what_was_there(store: CheckpointStore, name: str) -> None:
    fill(store, 1)
    with slow_writer(store, name) as process:
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
    with slow_writer(store, step_name(2)):
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


# A full disk


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
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = shutil.which("mount")
    if (
        mount is None
        or subprocess.run(
            [mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("mounting a small file system is not permitted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_keeps_the_earlier_checkpoint(small_disk: Path) -> None:
    store = CheckpointStore(small_disk / "checkpoints")
    store.write(step_name(1), writer(b"x" * 200_000))
    for _ in range(3):
        with pytest.raises(DiskFull, match=r"no space left on device \(about 0.40 MB needed, .* is intact") as error:
            store.write(step_name(2), writer(b"x" * 500_000))
        assert "\n" not in str(error.value)
    assert store.latest() == store.root / step_name(1)
    assert names(store) == ["LATEST", step_name(1)]
    store.write(step_name(2), writer(b"x" * 200_000))  # there is room for this: nothing was leaked
    assert store.latest() == store.root / step_name(2)


def test_a_full_disk_inside_safetensors_is_known_as_one(small_disk: Path) -> None:
    numpy = pytest.importorskip("numpy")
    from safetensors.numpy import save_file

    store = CheckpointStore(small_disk / "checkpoints")
    fill(store, 1)
    too_large = {"weight": numpy.zeros(2_000_000, dtype=numpy.uint8)}
    with pytest.raises(DiskFull, match="checkpoint step_00000001 is intact"):
        store.write(step_name(2), lambda folder: save_file(too_large, folder / "model.safetensors"))
    assert names(store) == ["LATEST", step_name(1)]


def test_a_copied_link_that_does_not_fit_keeps_the_earlier_one(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(source: object, target: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    store = CheckpointStore(small_disk / "checkpoints")
    fill(store, 1)
    store.link(step_name(1), "best")
    store.write(step_name(2), writer(b"x" * 300_000))
    with pytest.raises(DiskFull, match="best: cannot be written: no space left"):
        store.link(step_name(2), "best")
    assert (store.root / "best" / "model.safetensors").read_bytes() == b"step 1"
