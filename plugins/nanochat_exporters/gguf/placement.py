"""Where the tensors of a model stand in a file: which of them share one, and in which order rows and columns lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import gcd, prod

import numpy as np
import torch
from torch import Tensor

from nanochat_exporters.gguf.blocks import Q4_0
from nanochat_exporters.gguf.contents import CannotCarry
from nanochat_exporters.gguf.storage import StoredTensor
from nanochat_framework.model.description import Linear, Norm, RmsNorm, TensorSpec
from nanochat_framework.model.quantized import QuantizedWeight

Weight = Tensor | QuantizedWeight


@dataclass(frozen=True)
class Swap:
    """Rows (or columns) seen as (outer, first, second, inner) lie in the file as (outer, second, first, inner).

    Rotary pairs of llama are (heads, 2, head_dim / 2, 1): in each head, rows i and i + head_dim / 2 become 2 i and 2 i + 1.
    Rows before `start` stay where they are.
    """

    outer: int
    first: int
    second: int
    inner: int
    start: int = 0

    def order(self, inner: int | None = None) -> Tensor:
        """Which row of ours stands at each row of the file; `inner` may count in larger units than rows."""
        sizes = (self.outer, self.first, self.second, inner or self.inner)
        moved = torch.arange(prod(sizes)).view(sizes).transpose(1, 2).reshape(-1)
        return torch.cat([torch.arange(self.start), moved + self.start])


@dataclass(frozen=True)
class Function:
    """What a file holds instead of a tensor's values, and the way back, which may lose their last bits."""

    forward: Callable[[Tensor], Tensor]
    back: Callable[[Tensor], Tensor]


def rotary_pairs(heads: int, head_dim: int) -> Swap:
    """From pairs half a head apart to neighbours."""
    return Swap(heads, 2, head_dim // 2, 1)


@dataclass(frozen=True)
class Placement:
    """A tensor of the file: the rows of `parts` one below the other, in another order if `rows` or `columns` say so.

    Parts are the model's tensors by name and shape; none are for a norm without a gain, which is written as ones. The
    file has the elements in `shape`, whose last dimension is that of the parts. `function` is for values that the file
    holds in another form.
    """

    file_name: str
    parts: tuple[tuple[str, tuple[int, ...]], ...]
    shape: tuple[int, ...]
    rows: Swap | None = None
    columns: Swap | None = None
    function: Function | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The model's names of the parts."""
        return tuple(name for name, _ in self.parts)


def at(
    file_name: str,
    *specs: TensorSpec,
    shape: tuple[int, ...] | None = None,
    rows: Swap | None = None,
    columns: Swap | None = None,
    function: Function | None = None,
) -> Placement:
    """The place of one tensor, or of several below each other; `shape` where it is not theirs joined along rows."""
    joined = (sum(spec.shape[0] for spec in specs), *specs[0].shape[1:])
    parts = tuple((spec.name, spec.shape) for spec in specs)
    return Placement(file_name, parts, shape or joined, rows, columns, function)


def norm_at(file_name: str, norm: Norm) -> Placement:
    """The place of a norm's gain."""
    assert isinstance(norm, RmsNorm)
    return at(file_name, norm.weight) if norm.weight else Placement(file_name, (), (norm.dim,))


def linear_at(file_name: str, linear: Linear, rows: Swap | None = None) -> Placement:
    """The place of a map."""
    return at(file_name, linear.weight, rows=rows)


def ones(place: Placement) -> StoredTensor:
    """What stands at a place without parts."""
    return StoredTensor(place.file_name, "F32", place.shape, np.ones(place.shape, dtype=np.float32))


def gather(place: Placement, tensors: Mapping[str, Weight]) -> Weight:
    """The file's tensor from the model's. Raises CannotCarry where parts of one tensor are not of one kind."""
    parts = [tensors[name] for name in place.names]
    quantized = [part for part in parts if isinstance(part, QuantizedWeight)]
    plain = [part for part in parts if not isinstance(part, QuantizedWeight)]
    if (plain and quantized) or len({part.codes.dtype for part in quantized}) > 1:
        first, other = place.names[0], place.names[-1]
        raise CannotCarry(f"{first} and {other} are rounded in different ways, and {place.file_name} holds both")
    if plain:
        whole = _columns(_rows(_joined(plain), place.rows), place.columns)
        return (place.function.forward(whole) if place.function else whole).reshape(place.shape)
    size = _common_group(place, quantized)
    codes = _columns(_rows(_joined([part.codes for part in quantized]), place.rows), place.columns)
    scales = _rows(_joined([_scales_for(part, size) for part in quantized]), place.rows)
    if scales.shape[-1] > 1:
        scales = _columns(scales, place.columns, unit=size)
    return QuantizedWeight(codes.reshape(place.shape), scales.reshape(*place.shape[:-1], scales.shape[-1]), size)


def scatter(place: Placement, whole: Weight) -> dict[str, Weight]:
    """The model's tensors from the file's; a quantised one keeps the grouping of scales that it has in the file."""
    if isinstance(whole, Tensor):
        values = place.function.back(whole) if place.function else whole
        return dict(zip(place.names, _parts(_columns(values, place.columns, back=True), place), strict=True))
    size = gcd(whole.group_size, place.columns.inner) if place.columns else whole.group_size
    codes = _parts(_columns(whole.codes, place.columns, back=True), place)
    scales = _parts(_columns(_scales_for(whole, size), place.columns, back=True, unit=size), place)
    quantized = [QuantizedWeight(*both, size) for both in zip(codes, scales, strict=True)]
    return dict(zip(place.names, quantized, strict=True))


def _joined(tensors: Sequence[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors))


def _rows(tensor: Tensor, swap: Swap | None, *, back: bool = False) -> Tensor:
    if swap is None:
        return tensor
    order = swap.order()
    return tensor[(order.argsort() if back else order).to(tensor.device)]


def _columns(tensor: Tensor, swap: Swap | None, *, back: bool = False, unit: int = 1) -> Tensor:
    """Columns, each of which stands for `unit` weights, moved."""
    if swap is None:
        return tensor
    order = swap.order(swap.inner // unit)
    return tensor[..., (order.argsort() if back else order).to(tensor.device)]


def _parts(whole: Tensor, place: Placement) -> list[Tensor]:
    """A tensor of the file (or its scales) in the pieces that are the model's, whose rows are first dimensions."""
    counts = [shape[0] for _, shape in place.parts]
    inner = place.parts[0][1][1:-1]
    last = (whole.shape[-1],) if len(place.parts[0][1]) > 1 else ()
    rows = _rows(whole.reshape(sum(counts), *inner, *last), place.rows, back=True)
    return list(torch.split(rows, counts))


def _common_group(place: Placement, parts: Sequence[QuantizedWeight]) -> int:
    """How many weights of a row share a scale in the file, whatever their groups are in the parts.

    Columns that move take their scales with them, so a group must not reach over what moves apart. Raises CannotCarry
    where what is left of the groups is less than a block.
    """
    columns, moved = parts[0].shape[-1], place.columns
    size = gcd(*(min(part.group_size, columns) for part in parts))
    if moved is None or size == columns:
        return size
    left = gcd(size, moved.inner)
    if parts[0].integer and left % Q4_0.block:
        raise CannotCarry(
            f"{place.names[0]}: the file has its heads of {moved.inner} in another order, and no block holds what they "
            f"share with scale groups of {size} weights; use a head_dim that is a multiple of {Q4_0.block}, or "
            f"n_value_heads = n_heads"
        )
    return left


def _scales_for(weight: QuantizedWeight, size: int) -> Tensor:
    """Its scales for groups of `size`, a divisor of its own (or of a row, where that is one group)."""
    columns = weight.shape[-1]
    if size == min(weight.group_size, columns):
        return weight.scales
    groups = torch.arange(-(-columns // size)) * size // weight.group_size
    return weight.scales[..., groups.to(weight.scales.device)]
