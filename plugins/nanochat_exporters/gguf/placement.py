"""Where the tensors of a model stand in a file: which of them share one, and in which order rows lie there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import gcd

import numpy as np
import torch
from torch import Tensor

from nanochat_exporters.gguf.contents import CannotCarry
from nanochat_exporters.gguf.storage import StoredTensor
from nanochat_framework.model.description import Linear, Norm, RmsNorm, TensorSpec
from nanochat_framework.model.quantized import QuantizedWeight

Weight = Tensor | QuantizedWeight


@dataclass(frozen=True)
class Swap:
    """Rows seen as (outer, first, second, inner) lie in the file as (outer, second, first, inner).

    Rotary pairs of llama are (heads, 2, head_dim / 2, 1): in each head, rows i and i + head_dim / 2 become 2 i and 2 i + 1.
    """

    outer: int
    first: int
    second: int
    inner: int

    def order(self) -> Tensor:
        """The row of ours that stands at each row of the file."""
        n = self.outer * self.first * self.second * self.inner
        return torch.arange(n).view(self.outer, self.first, self.second, self.inner).transpose(1, 2).reshape(-1)


def rotary_pairs(heads: int, head_dim: int) -> Swap:
    """From pairs half a head apart to neighbours."""
    return Swap(heads, 2, head_dim // 2, 1)


@dataclass(frozen=True)
class Placement:
    """A tensor of the file: the rows of `parts` one below the other, in another order if `rows` says so.

    Parts are the model's tensors by name and shape; none are for a norm without a gain, which is written as ones. The
    file has the elements in `shape`, whose last dimension is that of the parts.
    """

    file_name: str
    parts: tuple[tuple[str, tuple[int, ...]], ...]
    shape: tuple[int, ...]
    rows: Swap | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The model's names of the parts."""
        return tuple(name for name, _ in self.parts)


def at(file_name: str, *specs: TensorSpec, shape: tuple[int, ...] | None = None, rows: Swap | None = None) -> Placement:
    """The place of one tensor, or of several below each other; `shape` where it is not theirs joined along rows."""
    joined = (sum(spec.shape[0] for spec in specs), *specs[0].shape[1:])
    return Placement(file_name, tuple((spec.name, spec.shape) for spec in specs), shape or joined, rows)


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
        return _reordered(_joined(plain), place, back=False).reshape(place.shape)
    size = gcd(*(part.group_size for part in quantized))
    codes = _joined([part.codes for part in quantized])
    scales = _joined([_scales_for(part, size) for part in quantized])
    codes, scales = (_reordered(part, place, back=False) for part in (codes, scales))
    return QuantizedWeight(codes.reshape(place.shape), scales.reshape(*place.shape[:-1], scales.shape[-1]), size)


def scatter(place: Placement, whole: Weight) -> dict[str, Weight]:
    """The model's tensors from the file's; a quantised one keeps the grouping of scales that it has in the file."""
    if isinstance(whole, Tensor):
        return dict(zip(place.names, _parts(whole, place), strict=True))
    both = zip(_parts(whole.codes, place), _parts(whole.scales, place), strict=True)
    quantized = [QuantizedWeight(codes, scales, whole.group_size) for codes, scales in both]
    return dict(zip(place.names, quantized, strict=True))


def _joined(tensors: Sequence[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors))


def _reordered(tensor: Tensor, place: Placement, *, back: bool) -> Tensor:
    if place.rows is None:
        return tensor
    order = place.rows.order().to(tensor.device)
    return tensor[order.argsort() if back else order]


def _parts(whole: Tensor, place: Placement) -> list[Tensor]:
    """A tensor of the file (or its scales) in the pieces that are the model's, whose rows are first dimensions."""
    counts = [shape[0] for _, shape in place.parts]
    inner = place.parts[0][1][1:-1]
    last = (whole.shape[-1],) if len(place.parts[0][1]) > 1 else ()
    rows = _reordered(whole.reshape(sum(counts), *inner, *last), place, back=True)
    return list(torch.split(rows, counts))


def _scales_for(weight: QuantizedWeight, size: int) -> Tensor:
    """Its scales for groups of `size`, a divisor of its own."""
    if size == weight.group_size:
        return weight.scales
    groups = torch.arange(-(-weight.shape[-1] // size)) * size // weight.group_size
    return weight.scales[..., groups.to(weight.scales.device)]
