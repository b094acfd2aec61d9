"""Which checkpoints go, which stay, and what a person keeps."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanochat_framework.errors import NanochatError
from nanochat_framework.runs.checkpoint_store import CheckpointStore, step_name
from tests.runs.checkpoint_folders import corrupt, fill, names, writer


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


def test_kept_at_the_moment_of_being_written_anew(store: CheckpointStore, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(store, 1)
    rename = os.rename

    def late(source: Path, target: Path) -> None:
        if ".old-" in str(target):
            store.keep(step_name(1))
        rename(source, target)

    monkeypatch.setattr(os, "rename", late)
    fill(store, 1)
    assert store.is_kept(store.path(step_name(1)))


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
