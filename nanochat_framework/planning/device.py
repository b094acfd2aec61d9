"""The device a plan is for, found without torch, and what the process and its allocator take there."""

from __future__ import annotations

import platform
from pathlib import Path

_RUNTIME_BYTES = {
    "cpu": 350_000_000,
    "cuda": 1_000_000_000,
    "mps": 500_000_000,
}
_SLACK_OF_SMALL_BLOCKS, _SLACK_OF_LARGE_BLOCKS = 0.6, 0.2
_HEAP_BLOCK_BYTES = 2**25
"""glibc gives a block above this its own pages, which go back to the system with it; smaller ones leave holes."""


def planned_device(setting: str) -> str:
    """What `hardware.device` means here: cpu, cuda or mps. "auto" looks for an NVIDIA driver, then for a Mac."""
    if setting != "auto":
        return setting
    if Path("/proc/driver/nvidia/version").exists():
        return "cuda"
    return "mps" if platform.system() == "Darwin" and platform.machine() == "arm64" else "cpu"


def runtime_bytes(device: str) -> int:
    """Memory that is taken before the first tensor.

    cpu (measured): the interpreter with torch and its libraries. cuda (not measured yet): the context, the libraries'
    kernels and workspaces, and blocks that the allocator keeps but cannot use.
    """
    return _RUNTIME_BYTES[device]


def allocator_bytes(device: str, activations: int, block: float) -> int:
    """Memory that the allocator holds beside what is alive: on a CPU, holes between activations of different sizes.

    Measured with glibc: 0.5 to 1.0 of the activations while one tensor of them (`block` bytes) comes from the heap, 0.2
    when it has pages of its own. Between the two the total stays level, so that it never falls as the batch grows.
    """
    if device != "cpu" or not activations:
        return 0
    at_limit = activations * _HEAP_BLOCK_BYTES / block
    if activations <= at_limit:
        return int(_SLACK_OF_SMALL_BLOCKS * activations)
    level = (1 + _SLACK_OF_SMALL_BLOCKS) * at_limit - activations
    return int(max(_SLACK_OF_LARGE_BLOCKS * activations, level))
