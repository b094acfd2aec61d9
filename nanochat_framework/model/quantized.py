"""A quantised weight: integer codes and scales, the one form that training, files and engines share."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class QuantizedWeight:
    """`value = code · scale of its group`; groups of `group_size` run along the last dimension.

    codes: (..., out_features, in_features) int8. scales: (..., out_features, n_groups) float32, each exactly a float16
    value. The last group may be partial: n_groups = ceil(in_features / group_size).
    """

    codes: Tensor
    scales: Tensor
    group_size: int

    def __post_init__(self) -> None:
        groups = -(-self.codes.shape[-1] // self.group_size)
        expected = (*self.codes.shape[:-1], groups)
        if self.codes.dtype != torch.int8 or self.scales.dtype != torch.float32 or self.scales.shape != expected:
            raise ValueError(
                f"codes {tuple(self.codes.shape)} {self.codes.dtype} in groups of {self.group_size} need float32 scales "
                f"{expected}, got {tuple(self.scales.shape)} {self.scales.dtype}"
            )

    @property
    def shape(self) -> torch.Size:
        """Shape of the weight."""
        return self.codes.shape

    def dequantize(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """The values: (..., out_features, in_features). Exact in float32; float16 scales lose bits in bfloat16."""
        codes = self.codes.to(torch.float32)
        in_features = self.codes.shape[-1]
        if self.scales.shape[-1] == 1:
            return (codes * self.scales).to(dtype)
        scales = self.scales.repeat_interleave(self.group_size, dim=-1)[..., :in_features]
        return (codes * scales).to(dtype)
