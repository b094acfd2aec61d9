"""What devices can do at most, as far as their makers state it."""

from __future__ import annotations

import re

_TENSOR_CORES = {
    "nvidia a10": 125.0,
    "nvidia a100": 312.0,
    "nvidia a100 pcie": 312.0,
    "nvidia b200": 2250.0,
    "nvidia gh200": 989.4,
    "nvidia geforce rtx 3090": 71.0,
    "nvidia geforce rtx 4090": 165.2,
    "nvidia h100": 989.4,
    "nvidia h100 nvl": 835.5,
    "nvidia h100 pcie": 756.0,
    "nvidia h200": 989.4,
    "nvidia h200 nvl": 835.5,
    "nvidia l4": 121.0,
    "nvidia l40s": 362.0,
    "nvidia rtx a6000": 154.8,
}
"""Name of a GPU, its package left out -> TFLOP/s of dense bf16 and fp16 products summed in fp32, by data sheet."""
_PACKAGE = re.compile(r"sxm\d*|hbm\d\w*|\d+gb")


def peak_flops(device_name: str, precision: str) -> float | None:
    """Operations per second of a device, by the name that its driver gives it; None where they are not known.

    Only for bf16 and fp16: what fp32 reaches depends on whether products may be rounded to TF32.
    """
    known = " ".join(word for word in device_name.lower().replace("-", " ").split() if not _PACKAGE.fullmatch(word))
    return 1e12 * _TENSOR_CORES[known] if known in _TENSOR_CORES and precision in ("bf16", "fp16") else None
