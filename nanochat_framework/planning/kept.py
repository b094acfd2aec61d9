"""What each part of a layer keeps from its forward pass for its backward pass, in elements for each token.

This follows the implementation, tensor by tensor: what the default kernels, `model.linear.Linear` and the described
components save. A quantised map saves its rounded input where a plain one saves its input, so both keep the same number
of elements. Tests hold every figure against the bytes of tensors that a real pass leaves alive.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nanochat_framework.model import roles
from nanochat_framework.model.description import (
    Block,
    GatedDeltaNet,
    GatedFeedForward,
    MixedStreams,
    MixtureOfExperts,
    ModelDescription,
    PlainFeedForward,
    RmsNorm,
    SoftmaxAttention,
    ValueEmbedding,
)
from nanochat_framework.planning.inventory import Inventory

FP32 = 4
"""Bytes."""
_DELTA_CHUNK_ELEMENTS = 298
"""Float32 elements that a head of the gated delta rule keeps for each token within its chunks of 64 (measured)."""


@dataclass(frozen=True)
class Kept:
    """Elements: `compute` in the activations' dtype, `fp32` always in float32, `widened` float32 copies of those in a
    narrower dtype (none where the activations are float32 themselves)."""

    compute: int = 0
    fp32: int = 0
    widened: int = 0

    def __add__(self, other: Kept) -> Kept:
        return Kept(self.compute + other.compute, self.fp32 + other.fp32, self.widened + other.widened)

    def bytes(self, itemsize: int) -> int:
        """Bytes for each token; `itemsize` is the activations' element size."""
        widened = self.widened if itemsize < FP32 else 0
        return self.compute * itemsize + (self.fp32 + widened) * FP32


def kept_by_layer(block: Block, description: ModelDescription) -> Kept:
    """All that a layer keeps without activation checkpointing, its input included."""
    dim = description.dim
    parts = norm(block.mixer_norm, dim) + mixer(block.mixer, dim) + norm(block.ffn_norm, dim) + ffn(block.ffn, dim)
    parts += value_embedding(block.value_embedding)
    return parts + streams(description.residual, dim)


def layer_input(description: ModelDescription) -> Kept:
    """The residual state that a layer begins from: all that checkpointing a whole layer keeps."""
    return Kept(compute=getattr(description.residual, "streams", 1) * description.dim)


def products(block: Block) -> Kept:
    """Results of a layer's matrix products and attention, which selective checkpointing keeps."""
    gates = 0 if block.value_embedding is None else block.value_embedding.gate.out_features
    return _mixer_products(block.mixer) + _ffn_products(block.ffn) + Kept(compute=gates)


def norm(part: Any, dim: int) -> Kept:
    """The input, which is the residual stream as it is at that place, and one factor a token."""
    return Kept(compute=part.dim if isinstance(part, RmsNorm) else dim, fp32=1)


def mixer(part: Any, dim: int) -> Kept:
    """Attention: input of its maps, rotated queries and keys, values, the mixture, its copy for the output, log-sums."""
    if isinstance(part, GatedDeltaNet):
        return _delta_net(part, dim)
    if not isinstance(part, SoftmaxAttention):
        return Kept()
    inner, shared = part.query.out_features, part.key.out_features
    kept = Kept(compute=dim + inner + 2 * shared + 2 * inner, fp32=part.n_heads)
    if part.query_norm is not None:  # the heads before they are normalised, and one factor each
        kept += Kept(compute=inner + shared, fp32=part.n_heads + part.n_kv_heads)
    return kept + Kept(compute=2 * inner if part.gate is not None else 0)  # the gate, and what it multiplies


def value_embedding(part: ValueEmbedding | None) -> Kept:
    """The rows, and the gates before and after they are scaled."""
    return Kept() if part is None else Kept(compute=part.table.weight.shape[1] + 2 * part.gate.out_features)


def _delta_net(part: GatedDeltaNet, dim: int) -> Kept:
    """Fitted to what the chunked form leaves alive, for two to eight heads of 32 and 64 channels in both dtypes."""
    keys, values = part.n_heads * part.head_dim, part.n_value_heads * part.head_dim
    return Kept(
        compute=dim + 4 * keys + 5 * values,
        fp32=6 * keys + 12 * values + _DELTA_CHUNK_ELEMENTS * part.n_value_heads,
        widened=8 * keys + 5 * values,
    )


def ffn(part: Any, dim: int) -> Kept:
    """Gated: input, gate, up, activated gate, product. Plain: input, activated, squared. Experts: as routed."""
    if isinstance(part, GatedFeedForward):
        return Kept(compute=dim + 4 * part.up.out_features)
    if isinstance(part, PlainFeedForward):
        return Kept(compute=dim + 2 * part.up.out_features)
    if isinstance(part, MixtureOfExperts):
        return _experts(part, dim)
    return Kept()


def _experts(part: MixtureOfExperts, dim: int) -> Kept:
    """For each chosen expert its rows, what it keeps, and its output before and after the gate; the router's input."""
    each = ffn(part.experts[0], dim) + Kept(compute=2 * dim)
    kept = Kept(compute=dim, fp32=4 * len(part.experts), widened=dim)
    for _ in range(part.n_active):
        kept += each
    if part.shared is not None:
        kept += Kept(compute=4 * part.shared.up.out_features + (dim if part.shared_gate is not None else 0))
    return kept


def streams(residual: Any, dim: int) -> Kept:
    """What mixing several residual streams adds to a layer: at both sub-layers their copies, as they are mixed."""
    if not isinstance(residual, MixedStreams):
        return Kept(compute=2 * (getattr(residual, "streams", 1) - 1) * dim)
    copies = residual.streams + 1 if residual.mixes_first else 2 * residual.streams + 1
    wide = 2 * residual.streams * dim if residual.dynamic else 0
    return Kept(compute=2 * copies * dim, fp32=wide, widened=wide)


def unknown(inventory: Inventory) -> Kept:
    """Of components without a description: the input and the output of each of their matrices."""
    outside = {roles.EMBEDDING, roles.HEAD, roles.NORM, roles.QUANTIZER_SCALE}
    specs = [t.spec for t in inventory.model if not t.described and t.spec.role not in outside]
    matrices = [spec.shape for spec in specs if len(spec.shape) >= 2]
    return Kept(compute=sum(shape[-1] + shape[-2] for shape in matrices))


def _mixer_products(part: Any) -> Kept:
    if isinstance(part, SoftmaxAttention):
        inner, shared = part.query.out_features, part.key.out_features
        gate = inner if part.gate is not None else 0
        return Kept(compute=inner + 2 * shared + inner + gate + part.output.out_features, fp32=part.n_heads)
    if isinstance(part, GatedDeltaNet):
        maps = (part.query, part.key, part.value, part.gate, part.beta, part.decay, part.output)
        return Kept(
            compute=sum(linear.out_features for linear in maps),
            fp32=_DELTA_CHUNK_ELEMENTS * part.n_value_heads + 4 * part.value.out_features,
        )
    return Kept()


def _ffn_products(part: Any) -> Kept:
    if isinstance(part, GatedFeedForward):
        return Kept(compute=2 * part.up.out_features + part.down.out_features)
    if isinstance(part, PlainFeedForward):
        return Kept(compute=part.up.out_features + part.down.out_features)
    if isinstance(part, MixtureOfExperts):
        kept = _ffn_products(part.shared)
        for _ in range(part.n_active):
            kept += _ffn_products(part.experts[0])
        return kept
    return Kept()


def hidden_width(part: Any) -> int:
    """Channels inside a feed-forward part; 0 if it does not say."""
    if isinstance(part, GatedFeedForward | PlainFeedForward):
        return part.up.out_features
    if isinstance(part, MixtureOfExperts):
        return hidden_width(part.experts[0]) * part.n_active
    return 0


def ffn_gradients(part: Any) -> int:
    """Elements for each token on the way back: two of the hidden width if gated, three around a squared activation."""
    return (3 if isinstance(part, PlainFeedForward) else 2) * hidden_width(part)
