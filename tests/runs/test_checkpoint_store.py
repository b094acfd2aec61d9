"""The store itself: what is written, linked, replaced, rewound, and told to be damaged."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from nanochat_framework.errors import NanochatError
from nanochat_framework.runs.checkpoint_store import CheckpointStore, step_name
from tests.runs.checkpoint_folders import corrupt, fill, names, writer


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
