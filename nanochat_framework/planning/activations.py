"""Bytes that a forward pass keeps for the backward pass, and what the backward pass needs beside them.

This follows the implementation, tensor by tensor: what the default kernels, `model.linear.Linear` and the described
components save. A quantised map saves its rounded input where a plain one saves its input, so both keep the same number
of elements. Amounts are per token and linear in the number of tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nanochat_framework.model import roles
from nanochat_framework.model.description import (
    Block,
    GatedFeedForward,
    ModelDescription,
    PlainFeedForward,
    RmsNorm,
    Rotary,
    SoftmaxAttention,
    walk,
)
from nanochat_framework.planning.inventory import Inventory

FP32 = 4
TOKEN_ID = 8
_NORM_TEMPORARIES = 5
"""Float32 tensors that the norm's backward pass makes, of all rows or, on a CPU, of one block of them."""
_BLOCK_ELEMENTS = 2**18
"""As `kernels.blocks`, which needs torch."""


@dataclass(frozen=True)
class Kept:
    """Elements kept for each token: `compute` in the activations' dtype, `fp32` always in float32."""

    compute: int = 0
    fp32: int = 0

    def __add__(self, other: Kept) -> Kept:
        return Kept(self.compute + other.compute, self.fp32 + other.fp32)

    def bytes(self, itemsize: int) -> int:
        """Bytes for each token; `itemsize` is the activations' element size."""
        return self.compute * itemsize + self.fp32 * FP32


@dataclass(frozen=True)
class Activations:
    """What passes through a model cost in memory, in bytes.

    `per_token` is kept from the forward to the backward pass; `constant` too, but does not depend on the batch (rotary
    tables of one sequence length). On the way back `boundary_per_token` is the gradient before and after the last norm,
    `inside_per_token` what the last block's feed-forward adds to it. `rounding_per_token` is what rounding the widest
    input of a map takes in float32.
    """

    per_token: int
    constant: int
    boundary_per_token: int
    inside_per_token: int
    rounding_per_token: int
    dim: int

    def kept(self, tokens: int) -> int:
        """Bytes kept for a micro-batch of that many tokens."""
        return self.per_token * tokens + self.constant

    def forward(self, tokens: int, device: str) -> int:
        """Temporaries in the last block of the forward pass: its rounding, which a CPU does block by block."""
        return 0 if device == "cpu" else self.rounding_per_token * tokens

    def backward(self, tokens: int, device: str) -> int:
        """Temporaries at the start of the backward pass: in the last norm, or in the last feed-forward."""
        rows = tokens * self.dim
        norm = _NORM_TEMPORARIES * FP32 * (min(rows, _BLOCK_ELEMENTS) if device == "cpu" else rows)
        return self.boundary_per_token * tokens + max(norm, self.inside_per_token * tokens)


def activations(inventory: Inventory, *, dim: int, seq_len: int, itemsize: int, rounded: int = 0) -> Activations:
    """Activation memory of a model of width `dim`.

    `itemsize` is 4 for fp32 and 2 for bf16; `rounded` the widest input of a map whose activations are rounded, which in
    bf16 takes a float32 copy and a float32 result.
    """
    description = inventory.description
    guessed = _guessed(inventory)
    rounding = rounded * FP32 * (1 if itemsize == FP32 else 2)
    if description is None:
        return Activations(guessed.bytes(itemsize), 0, 0, 0, rounding, dim)
    kept = guessed + _norm(description.final_norm, dim)
    for block in description.blocks:
        kept += _block(block, dim)
    stream_copies = getattr(description.residual, "streams", 1) - 1
    kept += Kept(compute=2 * len(description.blocks) * stream_copies * dim)
    inputs_and_targets = 2 * TOKEN_ID
    inside = max((_feed_forward_gradients(block.ffn) for block in description.blocks), default=0)
    return Activations(
        per_token=kept.bytes(itemsize) + dim * itemsize + inputs_and_targets,
        constant=_rotary_tables(description, seq_len),
        boundary_per_token=2 * dim * itemsize,
        inside_per_token=inside * itemsize,
        rounding_per_token=rounding,
        dim=dim,
    )


def _block(block: Block, dim: int) -> Kept:
    return (
        _norm(block.mixer_norm, dim)
        + _mixer(block.mixer, dim)
        + _norm(block.ffn_norm, dim)
        + _feed_forward(block.ffn, dim)
    )


def _norm(norm: Any, dim: int) -> Kept:
    """The input, which is the residual stream as it is at that place, and one factor a token."""
    return Kept(compute=norm.dim if isinstance(norm, RmsNorm) else dim, fp32=1)


def _mixer(mixer: Any, dim: int) -> Kept:
    """Input of the three maps, rotated queries and keys, values, the mixture, its copy for the output map, log-sums."""
    if not isinstance(mixer, SoftmaxAttention):
        return Kept()
    inner, shared = mixer.query.out_features, mixer.key.out_features
    kept = Kept(compute=dim + inner + 2 * shared + 2 * inner, fp32=mixer.n_heads)
    if mixer.query_norm is not None:  # the heads before they are normalised, and one factor each
        kept += Kept(compute=inner + shared, fp32=mixer.n_heads + mixer.n_kv_heads)
    return kept + Kept(compute=2 * inner if mixer.gate is not None else 0)  # the gate, and what it multiplies


def _feed_forward(ffn: Any, dim: int) -> Kept:
    """Gated: input, gate, up, activated gate, product. Plain: input, activated, squared."""
    if isinstance(ffn, GatedFeedForward):
        return Kept(compute=dim + 4 * ffn.up.out_features)
    if isinstance(ffn, PlainFeedForward):
        return Kept(compute=dim + 2 * ffn.up.out_features)
    return Kept()


def _guessed(inventory: Inventory) -> Kept:
    """Of components without a description: the input and the output of each of their matrices."""
    outside = {roles.EMBEDDING, roles.HEAD, roles.NORM}
    unknown = [t.spec for t in inventory.model if not t.described and t.spec.role not in outside]
    matrices = [spec.shape for spec in unknown if len(spec.shape) >= 2]
    return Kept(compute=sum(shape[-1] + shape[-2] for shape in matrices))


def _feed_forward_gradients(ffn: Any) -> int:
    """Elements for each token: two of the hidden width in a gated one, three around a squared activation."""
    if isinstance(ffn, GatedFeedForward):
        return 2 * ffn.up.out_features
    return 3 * ffn.up.out_features if isinstance(ffn, PlainFeedForward) else 0


def _rotary_tables(description: ModelDescription, seq_len: int) -> int:
    """Each attention holds cosines and sines for max_seq_len positions, and a pass keeps those of its positions."""
    rotaries = [found for found in walk(description.blocks) if isinstance(found, Rotary)]
    return sum(FP32 * rotary.head_dim * (description.max_seq_len + seq_len) for rotary in rotaries)
