"""What the process and its allocator take, by device and C library."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanochat_framework.kernels import blocks
from nanochat_framework.planning import activations
from nanochat_framework.planning.device import allocator_bytes, leaves_holes, library_bytes, planned_device

MIB = 2**20


def test_norms_work_in_the_kernels_blocks() -> None:
    assert blocks.BLOCK_ELEMENTS == activations._BLOCK_ELEMENTS


@pytest.mark.parametrize(
    ("library", "expected"),
    [("glibc 2.36", True), ("glibc 2.38.9000", True), ("glibc 2.39", False), ("glibc 3.0", False), ("musl", False)],
)
def test_old_glibc_leaves_holes(monkeypatch: pytest.MonkeyPatch, library: str, expected: bool) -> None:
    monkeypatch.setattr(os, "confstr", lambda name: library)
    assert leaves_holes() is expected


@given(tokens=st.integers(1, 2**20), more=st.integers(1, 2**20), accumulates=st.booleans(), freed=st.integers(0, 9999))
def test_holes_never_shrink_as_the_batch_grows(tokens: int, more: int, accumulates: bool, freed: int) -> None:
    def holes(count: int) -> int:
        return allocator_bytes(
            "cpu",
            kept=9000 * count,
            freed=freed * count,
            block=1024 * count,
            logits=0,
            gradients=0,
            accumulates=accumulates,
        )

    assert holes(tokens) <= holes(tokens + more) + 1


def test_large_chunks_of_logits_leave_none() -> None:
    def holes(logits: int) -> int:
        return allocator_bytes("cpu", kept=MIB, freed=MIB, block=MIB, logits=logits, gradients=0, accumulates=False)

    if leaves_holes():
        assert holes(31 * MIB) > holes(33 * MIB) == holes(0)


def test_the_tracer_counts_where_it_is_loaded() -> None:
    assert library_bytes("cpu", compiles=True) > library_bytes("cpu", traces=True) > library_bytes("cpu")
    assert library_bytes("cuda", traces=True) == library_bytes("cuda")


def test_a_named_device_is_planned_for() -> None:
    assert planned_device("mps") == "mps"
    assert planned_device("auto") in ("cpu", "cuda", "mps")
