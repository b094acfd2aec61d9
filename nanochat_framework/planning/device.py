"""The device a plan is for, found without torch, and what the process, its libraries and its allocator take there."""

from __future__ import annotations

import os
import platform
from pathlib import Path

_RUNTIME_BYTES = {"cpu": 250_000_000, "cuda": 1_000_000_000, "mps": 500_000_000}
_LIBRARY_BYTES = {"cpu": 65_000_000, "cuda": 64_000_000, "mps": 64_000_000}
_TRACER_BYTES, _COMPILER_BYTES = 50_000_000, 120_000_000
_FRAGMENTS = 0.05
"""Share of activations that a caching allocator on a GPU holds in blocks it cannot use (assumed, not measured)."""
HEAP_BLOCK_BYTES = 2**25
"""glibc gives a block above this pages of its own, which go back to the system with it; smaller ones leave holes."""
_MENDED = (2, 39)
"""The glibc whose aligned blocks merge with their neighbours when they are freed (its bug 30723)."""
_HOLES, _LOGITS_HOLES, _FURTHER_LOGITS_HOLES, _BETWEEN_GRADIENTS, _GRADIENT_HOLES = 1.0, 2.3, 1.7, 0.55, 0.6
_SMALL = 5_000_000
"""Fitted to measurements with glibc 2.36 (benchmarks/results/memory_plan.md); `allocator_bytes` has what they multiply."""
_MERGED_HOLES = 0.1
"""Share of the kept activations where freed blocks do merge."""


def planned_device(setting: str) -> str:
    """What `hardware.device` means here: cpu, cuda or mps. "auto" looks for an NVIDIA driver, then for a Mac."""
    if setting != "auto":
        return setting
    if Path("/proc/driver/nvidia/version").exists():
        return "cuda"
    return "mps" if platform.system() == "Darwin" and platform.machine() == "arm64" else "cpu"


def runtime_bytes(device: str) -> int:
    """Memory that is taken before the model is built.

    cpu (measured): the interpreter with torch and its libraries. cuda (not measured here): the context and the kernels'
    code.
    """
    return _RUNTIME_BYTES[device]


def library_bytes(device: str, *, traces: bool = False, compiles: bool = False) -> int:
    """What computing itself takes.

    cpu (measured): code pages of the libraries that the first step touches, 25 MB, and their workspaces and small
    allocations, 40 MB. cuda (not measured here): the matrix library's workspace. `traces`: whether torch loads its
    tracer, hundreds of modules in the process's own memory, as activation checkpointing makes it; `compiles`: the
    compiler as well.
    """
    loaded = _COMPILER_BYTES if compiles else _TRACER_BYTES if traces else 0
    return _LIBRARY_BYTES[device] + (loaded if device == "cpu" else 0)


def allocator_bytes(
    device: str,
    *,
    kept: int,
    freed: int,
    block: int,
    logits: int,
    further_logits: int = 0,
    gradients: int,
    accumulates: bool,
) -> int:
    """Memory that the allocator holds beside what is alive.

    Args:
        device: cpu, cuda or mps.
        kept: bytes of activations kept for the backward pass.
        freed: bytes that the forward pass makes and frees.
        block: bytes of one activation (batch, seq, dim).
        logits: bytes of a chunk of logits.
        further_logits: further tensors of that size that are kept, where there are several chunks.
        gradients: bytes of the gradients that the heap serves, each smaller than HEAP_BLOCK_BYTES.
        accumulates: whether gradients of earlier micro-batches stand between the activations.
    """
    if device != "cpu":
        return int(_FRAGMENTS * kept)
    if not leaves_holes():
        return int(_MERGED_HOLES * kept + _SMALL)
    in_heap = min(1.0, HEAP_BLOCK_BYTES / block)  # larger blocks leave no holes; the total must not fall as they grow
    holes = (_HOLES * freed + (_BETWEEN_GRADIENTS * kept if accumulates else 0)) * in_heap + _GRADIENT_HOLES * gradients
    of_logits = (_LOGITS_HOLES + _FURTHER_LOGITS_HOLES * further_logits) * logits if logits < HEAP_BLOCK_BYTES else 0
    return int(holes + of_logits + _SMALL)


def leaves_holes() -> bool:
    """Whether this C library cannot use a freed block again for one of the same size, as glibc before 2.39 mostly cannot.

    Tensors are aligned to 64 bytes. The older `posix_memalign` asks for more than the block, cuts what it needs out of
    that, and hands the cuttings to other small objects; without them the hole is too small for the next block of its size.
    """
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
        return name == "glibc" and tuple(int(part) for part in version.split(".")[:2]) < _MENDED
    except (AttributeError, ValueError, OSError):  # another system, or another C library
        return False
