"""Which ggml type a tensor is stored in, and the tensor in that type; nothing is rounded unless it was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nanochat_exporters.gguf.blocks import BLOCK_TYPES, Q4_0, Q8_0, TQ2_0, BlockType, Scales
from nanochat_exporters.gguf.float_types import FLOAT_TYPES
from nanochat_framework.errors import UsageError
from nanochat_framework.model.quantized import QuantizedWeight


@dataclass(frozen=True)
class StoredTensor:
    """A tensor as a file holds it.

    `type_name` is the ggml type; `data` is (..., K) float32 or float16, or (..., bytes of a row) uint8 for block types;
    `shape` is the logical shape, last dimension fastest.
    """

    name: str
    type_name: str
    shape: tuple[int, ...]
    data: npt.NDArray[Any]

    @property
    def n_bytes(self) -> int:
        """Bytes in the file, without alignment."""
        return int(self.data.nbytes)


def store_float(name: str, tensor: Tensor, type_name: str = "F32") -> StoredTensor:
    """A float tensor as F32 (every bit) or rounded to another type. Raises UsageError where that cannot hold it."""
    values = tensor.detach().to("cpu", torch.float32).contiguous().numpy()
    kind = FLOAT_TYPES[type_name]
    if type_name != "F32":
        kind.check(name, values)
    return StoredTensor(name, type_name, values.shape, kind.encode(values))


def store_quantized(name: str, weight: QuantizedWeight, wanted: str | None = None) -> StoredTensor:
    """Codes and scales in a block type that holds them exactly. Raises UsageError where none does.

    `wanted` is the block type to take if it can hold them; see `choose_block_type`. Codes that are floats become their
    values, in BF16 if that holds them.
    """
    if not weight.integer:
        values = weight.dequantize()
        return store_float(name, values, "BF16" if torch.equal(values.bfloat16().float(), values) else "F32")
    codes = weight.codes.cpu().numpy()
    scales = weight.scales.cpu().numpy()
    kind = choose_block_type(name, weight, wanted)
    _check_scales(name, scales)
    data = kind.pack(codes, _scale_of_each_block(scales, weight, kind))
    return StoredTensor(name, kind.name, tuple(codes.shape), data)


def is_ternary(weight: QuantizedWeight) -> bool:
    """Whether every code is -1, 0 or 1."""
    return weight.integer and int(weight.codes.min()) >= -1 and int(weight.codes.max()) <= 1


def choose_block_type(name: str, weight: QuantizedWeight, wanted: str | None = None) -> BlockType:
    """A block type whose blocks lie inside the weight's groups and whose codes reach far enough.

    The first of: the wanted one; TQ2_0, the fastest for ternary codes; Q4_0; Q8_0. Raises UsageError naming the tensor
    and the remedy.
    """
    in_features = weight.codes.shape[-1]
    smallest, largest = int(weight.codes.min()), int(weight.codes.max())
    for kind in ([BLOCK_TYPES[wanted]] if wanted else []) + [TQ2_0, Q4_0, Q8_0]:
        inside_groups = weight.scales.shape[-1] == 1 or weight.group_size % kind.block == 0
        if in_features % kind.block == 0 and inside_groups and kind.smallest <= smallest and largest <= kind.largest:
            return kind
    if in_features % 32:
        raise UsageError(
            f"{name}: GGUF blocks need a multiple of 32 input features, this map has {in_features}; "
            f"train with a width that is one (multiples of 256 take least space)"
        )
    raise UsageError(
        f"{name}: GGUF blocks of 32 do not fit scale groups of {weight.group_size}; "
        f"train with a group_size that is a multiple of 32 (of 256 takes least space)"
    )


def restore_quantized(stored: StoredTensor) -> QuantizedWeight:
    """Codes and scales of a block type, one block a group."""
    kind = BLOCK_TYPES[stored.type_name]
    codes, scales = kind.unpack(stored.data)
    return QuantizedWeight(torch.from_numpy(codes), torch.from_numpy(scales), kind.block)


def regroup(name: str, weight: QuantizedWeight, group_size: int) -> QuantizedWeight:
    """The same with the groups that share one scale joined. Raises UsageError if the scales inside a group differ."""
    in_features, block = weight.codes.shape[-1], weight.group_size
    if group_size < in_features and group_size % block:
        raise UsageError(f"{name}: scale groups of {group_size} do not consist of whole blocks of {block}")
    blocks_per_group = -(-min(group_size, in_features) // block)
    joined = weight.scales[..., ::blocks_per_group].contiguous()
    again = joined.repeat_interleave(blocks_per_group, dim=-1)[..., : weight.scales.shape[-1]]
    if not torch.equal(again.view(torch.int32), weight.scales.contiguous().view(torch.int32)):
        raise UsageError(f"{name}: the scales inside a group of {group_size} differ; the file is damaged")
    return QuantizedWeight(weight.codes, joined, group_size)


def _scale_of_each_block(scales: Scales, weight: QuantizedWeight, kind: BlockType) -> Scales:
    n_blocks = weight.codes.shape[-1] // kind.block
    if scales.shape[-1] == 1:
        return np.repeat(scales, n_blocks, axis=-1)
    return np.repeat(scales, weight.group_size // kind.block, axis=-1)[..., :n_blocks]


def _check_scales(name: str, scales: Scales) -> None:
    with np.errstate(over="ignore"):
        rounded = scales.astype(np.float16).astype(np.float32)
    if not np.isfinite(scales).all():
        raise UsageError(f"{name}: has scales that are not finite numbers; the model cannot be used")
    if not np.array_equal(rounded.view(np.uint32), scales.view(np.uint32)):
        raise UsageError(
            f"{name}: its scales are not float16 values, so GGUF would change them; "
            f"the quantizer must round its scales through float16"
        )
