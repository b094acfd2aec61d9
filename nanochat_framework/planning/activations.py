"""What passes through a model costs in memory: kept between forward and backward pass, and made on the way.

With `train.activation_checkpointing` a layer keeps less, and what is missing is made again while the layer goes back, one
layer at a time. Amounts are per token and linear in the number of tokens; `planning.kept` has them part by part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nanochat_framework.model.description import (
    Block,
    MixedStreams,
    MixtureOfExperts,
    ModelDescription,
    PlainFeedForward,
    Rotary,
    SoftmaxAttention,
    walk,
)
from nanochat_framework.planning import kept
from nanochat_framework.planning.inventory import Inventory
from nanochat_framework.planning.kept import FP32, Kept

Checkpointing = Literal["none", "block", "selective"]

_NORM_TEMPORARIES = 5
"""Float32 tensors that the norm's backward pass makes, of all rows or, on a CPU, of one block of them."""
_LEFT_BY_CHECKPOINTS = 0.85
"""Share of what a checkpointed layer lets go whose place the next layer cannot use (see `planning.device`)."""
_BLOCK_ELEMENTS = 2**19
"""As `kernels.blocks`, which needs torch."""


@dataclass(frozen=True)
class Activations:
    """What passes through a model costs in memory, in bytes.

    `per_token` is kept from the forward to the backward pass; `constant` too, but does not depend on the batch (rotary
    tables of one sequence length). On the way back `boundary_per_token` is the gradient before and after the last norm,
    `recomputed_per_token` what the last layer makes again, `inside_per_token` what its gradients add to that, or, if that
    is more, `streams_per_token` what mixing residual streams does. `rounding_per_token` is what rounding the widest input
    of a map takes in float32. `freed_per_token` is made and freed in the forward pass; see `planning.device`.
    """

    per_token: int
    constant: int
    boundary_per_token: int
    recomputed_per_token: int
    inside_per_token: int
    streams_per_token: int
    rounding_per_token: int
    freed_per_token: int
    dim: int

    def kept(self, tokens: int) -> int:
        """Bytes kept for a micro-batch of that many tokens."""
        return self.per_token * tokens + self.constant

    def forward(self, tokens: int, device: str) -> int:
        """Temporaries in the last block of the forward pass: its rounding, which a CPU does block by block."""
        return 0 if device == "cpu" else self.rounding_per_token * tokens

    def backward(self, tokens: int, device: str) -> int:
        """Temporaries at the start of the backward pass: in the last norm, or in the last layer."""
        rows = tokens * self.dim
        norm = _NORM_TEMPORARIES * FP32 * (min(rows, _BLOCK_ELEMENTS) if device == "cpu" else rows)
        inside = max(self.inside_per_token, self.streams_per_token - self.boundary_per_token) * tokens
        if self.recomputed_per_token:
            rounding = self.rounding_per_token * tokens
            inside += self.recomputed_per_token * tokens
            inside += min(rounding, 2 * FP32 * _BLOCK_ELEMENTS) if device == "cpu" else rounding
        return self.boundary_per_token * tokens + max(norm, inside)


def activations(
    inventory: Inventory,
    *,
    dim: int,
    seq_len: int,
    itemsize: int,
    rounded: int = 0,
    checkpointing: Checkpointing = "none",
) -> Activations:
    """Activation memory of a model of width `dim`.

    `itemsize` is 4 for fp32 and 2 for bf16 and fp16; `rounded` the widest input of a map whose activations are rounded,
    which in 16 bits takes a float32 copy and a float32 result.
    """
    description = inventory.description
    rounding = rounded * FP32 * (1 if itemsize == FP32 else 2)
    if description is None:
        unknown = kept.unknown(inventory).bytes(itemsize)
        return Activations(unknown, 0, 0, 0, 0, 0, rounding, unknown, dim)
    layers = [_layer(block, description, checkpointing, itemsize, rounded) for block in description.executed]
    outside = kept.unknown(inventory) + kept.norm(description.final_norm, dim) + Kept(compute=dim)
    inside = max((kept.ffn_gradients(block.ffn) for block in description.blocks), default=0)
    return Activations(
        per_token=outside.bytes(itemsize) + sum(layer.kept for layer in layers),
        constant=_rotary_tables(description, seq_len),
        boundary_per_token=2 * dim * itemsize,
        recomputed_per_token=max((layer.recomputed for layer in layers), default=0),
        inside_per_token=inside * itemsize,
        streams_per_token=_stream_gradients(description) * itemsize,
        rounding_per_token=rounding,
        freed_per_token=sum(layer.freed for layer in layers),
        dim=dim,
    )


@dataclass(frozen=True)
class _Layer:
    """Bytes for each token: kept, made again in the backward pass, made and freed in the forward pass."""

    kept: int
    recomputed: int
    freed: int


def _layer(
    block: Block, description: ModelDescription, checkpointing: Checkpointing, itemsize: int, rounded: int
) -> _Layer:
    full = kept.kept_by_layer(block, description).bytes(itemsize)
    if checkpointing == "none":
        return _Layer(full, 0, itemsize * _freed(block, description.dim, rounded))
    start = kept.layer_input(description).bytes(itemsize)
    stored = kept.products(block).bytes(itemsize) if checkpointing == "selective" else 0
    again = max(0, full - start - stored) + (itemsize * kept.hidden_width(block.ffn) if rounded else 0)
    return _Layer(start + stored, again, int(_LEFT_BY_CHECKPOINTS * max(0, full - start - stored)))


def _freed(block: Block, dim: int, rounded: int) -> int:
    """Elements that a layer's forward pass makes and frees, less those whose place kept tensors take.

    Queries and keys before their rotation and its steps; with rounded activations, their steps. A plain feed-forward
    part frees its widest tensor early, and what comes next lives in its place; so do experts' many smaller ones.
    """
    mixer = block.mixer
    widths = mixer.query.out_features + mixer.key.out_features if isinstance(mixer, SoftmaxAttention) else 2 * dim
    refilled = kept.hidden_width(block.ffn) if isinstance(block.ffn, PlainFeedForward | MixtureOfExperts) else 0
    return max(0, 4 * widths + (3 * dim if rounded else 0) - refilled)


def _stream_gradients(description: ModelDescription) -> int:
    """Elements for each token while the gradient passes a mixing of streams."""
    residual = description.residual
    return (4 * residual.streams - 1) * description.dim if isinstance(residual, MixedStreams) else 0


def _rotary_tables(description: ModelDescription, seq_len: int) -> int:
    """Each attention holds cosines and sines for max_seq_len positions, and a pass keeps those of its positions."""
    held, used = (
        sum(FP32 * found.head_dim for found in walk(blocks) if isinstance(found, Rotary))
        for blocks in (description.blocks, description.executed)
    )
    return held * description.max_seq_len + used * seq_len
