"""The ggml types that float tensors may be rounded to because somebody asked for it, and what each does to values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
import torch
from gguf.quants import dequantize, quantize
from torch import Tensor

from nanochat_exporters.gguf.q6_k import quantize_q6_k
from nanochat_framework.errors import UsageError

Floats = npt.NDArray[np.float32]
LARGEST_HALF = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class FloatType:
    """`encode(values (..., K) float32)` gives what a file holds; `reach` is the largest magnitude that it can take."""

    name: str
    encode: Callable[[Floats], npt.NDArray[Any]]
    reach: float

    @property
    def block(self) -> int:
        """Weights that are stored together; K is a multiple of it."""
        return gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[self.name]][0]

    def check(self, name: str, values: Floats) -> None:
        """Raise UsageError, naming the tensor and the remedy, where values cannot be stored in this type."""
        if values.shape[-1] % self.block:
            raise UsageError(
                f"{name}: {self.name} needs rows of a multiple of {self.block} numbers, these have {values.shape[-1]}; "
                f"choose another type for it"
            )
        largest = float(np.abs(values).max(initial=0.0))
        if not largest <= self.reach:
            raise UsageError(f"{name}: has values of {largest:g}, beyond the range of {self.name}; store it as f32")

    def round(self, values: Tensor) -> Tensor:
        """What a reader gets back: float32, same shape."""
        encoded = self.encode(values.detach().to("cpu", torch.float32).contiguous().numpy())
        if self.name in ("F32", "F16"):
            return torch.from_numpy(encoded.astype(np.float32))
        decoded = dequantize(encoded, gguf.GGMLQuantizationType[self.name])
        return torch.from_numpy(np.ascontiguousarray(decoded, dtype=np.float32)).reshape(values.shape)


def _by_package(name: str) -> Callable[[Floats], npt.NDArray[Any]]:
    """The gguf package's own quantizer, which is ggml's reference."""
    return lambda values: np.asarray(quantize(values, gguf.GGMLQuantizationType[name]))


FLOAT_TYPES = {
    kind.name: kind
    for kind in (
        FloatType("F32", lambda values: values, float("inf")),
        FloatType("F16", lambda values: values.astype(np.float16), LARGEST_HALF),
        FloatType("BF16", _by_package("BF16"), float(np.finfo(np.float32).max) / 2),
        FloatType("Q8_0", _by_package("Q8_0"), LARGEST_HALF * 127),
        FloatType("Q6_K", quantize_q6_k, LARGEST_HALF),
        FloatType("Q4_0", _by_package("Q4_0"), LARGEST_HALF * 8),
    )
}
