"""The device a plan is for, found without torch, and what the process itself takes there."""

from __future__ import annotations

import platform
from pathlib import Path

_RUNTIME_BYTES = {
    "cpu": 300_000_000,
    "cuda": 1_000_000_000,
    "mps": 500_000_000,
}


def planned_device(setting: str) -> str:
    """What `hardware.device` means here: cpu, cuda or mps. "auto" looks for an NVIDIA driver, then for a Mac."""
    if setting != "auto":
        return setting
    if Path("/proc/driver/nvidia/version").exists():
        return "cuda"
    return "mps" if platform.system() == "Darwin" and platform.machine() == "arm64" else "cpu"


def runtime_bytes(device: str) -> int:
    """Memory that is taken before the first tensor.

    cpu: the interpreter with torch and its libraries. cuda: the context, the libraries' kernels and workspaces, and
    blocks that the allocator keeps but cannot use.
    """
    return _RUNTIME_BYTES[device]
