"""Holds a model that was read back from a file against the one that was written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from nanochat_framework.contracts.exporter import ModelBundle, Rounding
from nanochat_framework.inference.bundle import model_from_bundle
from nanochat_framework.model.quantized import QuantizedWeight

EXACT_LOGITS = 1e-5
"""Largest difference of logits, as a share of their range, between a model and its file (law 1)."""
_BATCH, _LONGEST = 2, 128


@dataclass(frozen=True)
class Comparison:
    """What is equal, by tensor name.

    `rounded_floats` are those that came back as the narrower type that somebody asked for leaves them, with its name.
    `logits` is the largest difference on random tokens, divided by the range of the logits.
    """

    n_quantized: int
    n_weights: int
    changed_codes: tuple[str, ...]
    changed_scales: tuple[str, ...]
    n_floats: int
    changed_floats: tuple[str, ...]
    rounded_floats: Mapping[str, str]
    logits: float

    @property
    def exact(self) -> bool:
        """Whether every bit of every tensor came back, and the logits agree."""
        return self.as_asked and not self.rounded_floats

    @property
    def as_asked(self) -> bool:
        """Whether nothing differs but float tensors that were to be rounded, and what follows from their rounding."""
        changed = self.changed_codes + self.changed_scales + self.changed_floats
        return not changed and (bool(self.rounded_floats) or self.logits <= EXACT_LOGITS)

    def lines(self) -> list[str]:
        """For the person."""
        types = ", ".join(sorted(set(self.rounded_floats.values())))
        rounded = f", {len(self.rounded_floats)} rounded to {types} as asked" if self.rounded_floats else ""
        quantized = [
            f"codes: {_verdict(self.changed_codes, self.n_quantized)} ({self.n_weights:,} weights)",
            f"scales: {_verdict(self.changed_scales, self.n_quantized)}",
        ]
        return [
            *(quantized if self.n_quantized else ()),
            f"float tensors: {_verdict((*self.changed_floats, *self.rounded_floats), self.n_floats)}{rounded}",
            f"logits on random tokens: differ by at most {self.logits:.1e} of their range",
        ]


def compare(original: ModelBundle, read_back: ModelBundle, rounded: Mapping[str, Rounding] | None = None) -> Comparison:
    """Compare tensors bit for bit, and logits on random tokens. Raises UsageError if the models differ in structure.

    `rounded` has the float tensors that the file was to hold in a narrower type: they must be what that type leaves.
    """
    quantized = {name: t for name, t in original.tensors.items() if isinstance(t, QuantizedWeight)}
    floats = {name: t for name, t in original.tensors.items() if isinstance(t, Tensor)}
    again = {name: read_back.tensors.get(name) for name in original.tensors}
    inexact = [name for name, tensor in floats.items() if not _same_bits(tensor, again[name])]
    asked = {name: rounding for name, rounding in (rounded or {}).items() if name in inexact}
    as_rounded = {n: r.type_name for n, r in asked.items() if _same_bits(r.apply(floats[n]), again[n])}
    return Comparison(
        n_quantized=len(quantized),
        n_weights=sum(weight.codes.numel() for weight in quantized.values()),
        changed_codes=tuple(n for n, w in quantized.items() if not _same_codes(w, again[n])),
        changed_scales=tuple(n for n, w in quantized.items() if not _same_scales(w, again[n])),
        n_floats=len(floats),
        changed_floats=tuple(name for name in inexact if name not in as_rounded),
        rounded_floats=as_rounded,
        logits=logit_difference(original, read_back),
    )


def _same_codes(weight: QuantizedWeight, other: Tensor | QuantizedWeight | None) -> bool:
    """A file that has no codes of that kind holds their values, which then are the same."""
    if isinstance(other, Tensor):
        return _same_bits(weight.dequantize(), other)
    return isinstance(other, QuantizedWeight) and torch.equal(weight.codes, other.codes)


def _same_scales(weight: QuantizedWeight, other: Tensor | QuantizedWeight | None) -> bool:
    if isinstance(other, Tensor):
        return _same_bits(weight.dequantize(), other)
    if not isinstance(other, QuantizedWeight) or weight.group_size != other.group_size:
        return False
    return _same_bits(weight.scales, other.scales)


def _same_bits(tensor: Tensor, other: Tensor | QuantizedWeight | None) -> bool:
    if not isinstance(other, Tensor) or tensor.shape != other.shape or other.dtype != tensor.dtype:
        return False
    return torch.equal(tensor.contiguous().view(torch.int32), other.contiguous().view(torch.int32))


@torch.no_grad()
def logit_difference(original: ModelBundle, read_back: ModelBundle) -> float:
    """Largest difference of two models' logits on random tokens, as a share of the range of the first's."""
    tokens = random_tokens(original.description.vocab_size, original.description.max_seq_len)
    first = model_from_bundle(original)(tokens)
    second = model_from_bundle(read_back)(tokens)
    return relative_difference(first, second)


def random_tokens(vocab_size: int, max_seq_len: int, seed: int = 0) -> Tensor:
    """(batch, seq) int64, the same for one seed."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(vocab_size, (_BATCH, min(max_seq_len, _LONGEST)), generator=generator)


def relative_difference(first: Tensor, second: Tensor) -> float:
    """Largest absolute difference divided by the range (largest minus smallest) of the first; NaN counts as infinite."""
    spread = float(first.max() - first.min())
    difference = float((first - second).abs().max())
    result = difference / spread if spread > 0 else difference
    return result if result == result else float("inf")


def _verdict(changed: tuple[str, ...], total: int) -> str:
    if not changed:
        return f"all of {total} tensors equal bit for bit"
    return f"{len(changed)} of {total} tensors differ, {changed[0]} first"
