"""A quantised weight: codes and scales, the one form that training, files and engines share."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nanochat_framework.kernels.blocks import row_blocks

CODE_DTYPES = (torch.int8, torch.float8_e4m3fn, torch.float8_e5m2)
"""Whole numbers, or floats of 8 bits: the dtype of the codes says which, and every one is a float32 value."""


@dataclass(frozen=True)
class QuantizedWeight:
    """`value = code · scale of its group`; groups of `group_size` run along the last dimension.

    codes: (..., out_features, in_features), one of CODE_DTYPES. scales: (..., out_features, n_groups) float32, each
    exactly a float16 value or a power of two. The last group may be partial: n_groups = ceil(in_features / group_size).
    """

    codes: Tensor
    scales: Tensor
    group_size: int

    def __post_init__(self) -> None:
        groups = -(-self.codes.shape[-1] // self.group_size)
        expected = (*self.codes.shape[:-1], groups)
        if self.codes.dtype not in CODE_DTYPES or self.scales.dtype != torch.float32 or self.scales.shape != expected:
            raise ValueError(
                f"codes {tuple(self.codes.shape)} {self.codes.dtype} in groups of {self.group_size} need float32 scales "
                f"{expected}, got {tuple(self.scales.shape)} {self.scales.dtype}"
            )

    @property
    def shape(self) -> torch.Size:
        """Shape of the weight."""
        return self.codes.shape

    @property
    def integer(self) -> bool:
        """Whether the codes are whole numbers, which integer block types can hold."""
        return self.codes.dtype == torch.int8

    def to(self, device: torch.device | str) -> QuantizedWeight:
        """The same on another device."""
        return QuantizedWeight(self.codes.to(device), self.scales.to(device), self.group_size)

    def dequantize(self, dtype: torch.dtype = torch.float32, *, out: Tensor | None = None) -> Tensor:
        """The values: (..., out_features, in_features), the float32 products rounded once to `dtype`.

        `out`, contiguous and of that shape and dtype, is written to instead of new memory, whose pages would cost more
        than the arithmetic (docs/decisions/0033).
        """
        if out is None:
            out = torch.empty(self.shape, dtype=dtype, device=self.codes.device)
        rows, codes = out.view(-1, self.shape[-1]), self.codes.reshape(-1, self.shape[-1])
        scales = self.scales.reshape(rows.shape[0], -1)
        narrow = _narrow(scales, self.codes.dtype, dtype)
        for block in row_blocks(rows):
            for columns, groups in self._segments():
                width = min(self.group_size, columns.stop - columns.start)
                part, factors = torch.unflatten(rows[block, columns], -1, (-1, width)), scales[block, groups, None]
                own = torch.unflatten(codes[block, columns], -1, (-1, width))
                if narrow is None:
                    part.copy_(own.to(torch.float32).mul_(factors))
                else:
                    part.copy_(own).mul_(narrow[block, groups, None])
        return out

    def _segments(self) -> list[tuple[slice, slice]]:
        """The whole groups of a row and its partial last one: their columns and their groups."""
        columns = self.shape[-1]
        whole = columns // self.group_size
        parts = [(slice(0, whole * self.group_size), slice(0, whole))] if whole else []
        if columns % self.group_size:
            parts.append((slice(whole * self.group_size, columns), slice(whole, whole + 1)))
        return parts


def _narrow(scales: Tensor, codes: torch.dtype, dtype: torch.dtype) -> Tensor | None:
    """The scales in `dtype` if products can be made in it: each is then rounded once, as the float32 product would be.

    Asked on a CPU only: elsewhere the answer would have to be waited for.
    """
    if dtype == torch.float32:
        return scales
    if scales.device.type != "cpu" or codes != torch.int8:
        return None
    narrow = scales.to(dtype)
    return narrow if torch.equal(narrow.float(), scales) else None
