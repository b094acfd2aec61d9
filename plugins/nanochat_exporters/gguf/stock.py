"""The dense architectures of stock llama.cpp: which models they carry exactly, and where each tensor goes.

`llama` turns interleaved pairs (2 i, 2 i + 1) of a head where we turn pairs half a head apart, so the rows of the query
and key maps are reordered on the way out and back in; codes and scales move together and nothing is rounded. `qwen3`
turns the same pairs as we do, and normalises the heads of queries and keys.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nanochat_exporters.gguf.contents import CannotCarry, Value
from nanochat_exporters.gguf.storage import StoredTensor
from nanochat_framework.model.description import (
    AddResidual,
    GatedFeedForward,
    Linear,
    MixtureOfExperts,
    ModelDescription,
    Norm,
    RmsNorm,
    SoftmaxAttention,
)
from nanochat_framework.model.quantized import QuantizedWeight


@dataclass(frozen=True)
class StockArchitecture:
    """A dense decoder that llama.cpp knows by `name`; what differs between the two is all that is here."""

    name: str
    normed_heads: bool
    interleaved: bool
    """Whether its rotary pairs are (2 i, 2 i + 1), not (i, i + head_dim / 2)."""


LLAMA = StockArchitecture("llama", normed_heads=False, interleaved=True)
QWEN3 = StockArchitecture("qwen3", normed_heads=True, interleaved=False)
STOCK = {architecture.name: architecture for architecture in (LLAMA, QWEN3)}


def best_fit(description: ModelDescription) -> StockArchitecture:
    """The architecture to try: qwen3 where heads are normalised, else llama."""
    mixers = [block.mixer for block in description.blocks]
    normed = any(isinstance(mixer, SoftmaxAttention) and mixer.query_norm for mixer in mixers)
    return QWEN3 if normed else LLAMA


@dataclass(frozen=True)
class Placement:
    """Where a tensor stands: its name in the file and in the model (None: ones, for a norm without a gain).

    `heads` is the number of heads whose rows are reordered for llama's rotary pairs, 0 for none.
    """

    file_name: str
    name: str | None
    shape: tuple[int, ...]
    heads: int = 0


def keys(architecture: StockArchitecture, description: ModelDescription) -> dict[str, Value]:
    """The architecture's keys. Raises CannotCarry."""
    attention, ffn, norm = shared_shape(architecture, description)
    assert attention.rotary is not None
    found: dict[str, Value] = {
        "context_length": description.max_seq_len,
        "embedding_length": description.dim,
        "block_count": len(description.blocks),
        "feed_forward_length": ffn.gate.out_features,
        "attention.head_count": attention.n_heads,
        "attention.head_count_kv": attention.n_kv_heads,
        "attention.key_length": attention.head_dim,
        "attention.value_length": attention.head_dim,
        "attention.layer_norm_rms_epsilon": norm.eps,
        "rope.dimension_count": attention.head_dim,
        "rope.freq_base": attention.rotary.theta,
        "vocab_size": description.vocab_size,
    }
    return {f"{architecture.name}.{key}": value for key, value in found.items()}


def placements(architecture: StockArchitecture, description: ModelDescription) -> list[Placement]:
    """Every tensor of the file, in order. Raises CannotCarry for what the architecture has no place for."""
    shared_shape(architecture, description)
    table = description.embedding.weight
    found = [Placement("token_embd.weight", table.name, table.shape)]
    for index, block in enumerate(description.blocks):
        attention, ffn = block.mixer, block.ffn
        assert isinstance(attention, SoftmaxAttention) and isinstance(ffn, GatedFeedForward)
        at, moved = f"blk.{index}.", architecture.interleaved
        found += [
            _norm(at + "attn_norm.weight", block.mixer_norm),
            _linear(at + "attn_q.weight", attention.query, attention.n_heads if moved else 0),
            _linear(at + "attn_k.weight", attention.key, attention.n_kv_heads if moved else 0),
            _linear(at + "attn_v.weight", attention.value),
            _linear(at + "attn_output.weight", attention.output),
            *(_norm(at + f"attn_{which}_norm.weight", norm) for which, norm in _head_norms(attention)),
            _norm(at + "ffn_norm.weight", block.ffn_norm),
            _linear(at + "ffn_gate.weight", ffn.gate),
            _linear(at + "ffn_up.weight", ffn.up),
            _linear(at + "ffn_down.weight", ffn.down),
        ]
    found.append(_norm("output_norm.weight", description.final_norm))
    if description.head is not None:
        found.append(_linear("output.weight", description.head))
    return found


def reorder_rows(tensor: Tensor, heads: int, *, back: bool = False) -> Tensor:
    """Rows from pairs half a head apart to interleaved pairs, or `back`; heads = 0 leaves them alone.

    In each head, rows i and i + head_dim/2 become rows 2 i and 2 i + 1.
    """
    if heads == 0:
        return tensor
    half = tensor.shape[0] // heads // 2
    split = (heads, half, 2) if back else (heads, 2, half)
    order = torch.arange(tensor.shape[0]).reshape(split).transpose(1, 2).reshape(-1)
    return tensor[order.to(tensor.device)]


def reorder_quantized(weight: QuantizedWeight, heads: int, *, back: bool = False) -> QuantizedWeight:
    """`reorder_rows` of codes and scales together."""
    codes, scales = (reorder_rows(part, heads, back=back) for part in (weight.codes, weight.scales))
    return QuantizedWeight(codes, scales, weight.group_size)


def ones(place: Placement) -> StoredTensor:
    """The gain that a norm without one is written with."""
    return StoredTensor(place.file_name, "F32", place.shape, np.ones(place.shape, dtype=np.float32))


def _norm(file_name: str, norm: Norm) -> Placement:
    assert isinstance(norm, RmsNorm)
    return Placement(file_name, norm.weight.name if norm.weight else None, (norm.dim,))


def _linear(file_name: str, linear: Linear, heads: int = 0) -> Placement:
    return Placement(file_name, linear.weight.name, linear.weight.shape, heads)


def _head_norms(attention: SoftmaxAttention) -> list[tuple[str, RmsNorm]]:
    """The norms of the heads, by the letter that files name them with."""
    return [(letter, norm) for letter, norm in (("q", attention.query_norm), ("k", attention.key_norm)) if norm]


def shared_shape(
    architecture: StockArchitecture, description: ModelDescription
) -> tuple[SoftmaxAttention, GatedFeedForward, RmsNorm]:
    """The attention, feed-forward and norm that all layers share in shape. Raises CannotCarry where they do not."""
    name = architecture.name
    for opaque in description.opaque():
        raise CannotCarry(f"{opaque.component} does not describe itself as operations that {name} has")
    if not isinstance(description.residual, AddResidual) or description.residual.streams != 1:
        raise CannotCarry(f"the residual has more than one stream; {name} has the plain one")
    if description.embedding.scale != 1.0:
        raise CannotCarry(f"{description.embedding.weight.name} is scaled by {description.embedding.scale:g}")
    if description.embedding_norm is not None:
        raise CannotCarry(f"a norm stands between the embedding and the first block; {name} has none there")
    if description.logit_softcap is not None:
        raise CannotCarry(f"scores are capped at {description.logit_softcap:g}; {name}'s are not")
    if description.head is not None:
        _no_bias(description.head)
    attentions = [_checked_attention(architecture, block.mixer) for block in description.blocks]
    ffns = [_checked_ffn(architecture, block.ffn) for block in description.blocks]
    first_norm = _one_eps(architecture, description, attentions)
    shapes = {(a.n_heads, a.n_kv_heads, a.head_dim, a.rotary) for a in attentions}
    if len(shapes) > 1:
        raise CannotCarry(f"layers differ in their attention heads or rotary positions; {name} has one shape for all")
    if len({ffn.gate.out_features for ffn in ffns}) > 1:
        raise CannotCarry(f"layers differ in their feed-forward width; {name} has one for all")
    return attentions[0], ffns[0], first_norm


def _one_eps(
    architecture: StockArchitecture, description: ModelDescription, attentions: list[SoftmaxAttention]
) -> RmsNorm:
    """The last norm, if all norms have its eps. Raises CannotCarry if they do not."""
    first = description.final_norm
    in_blocks = [norm for block in description.blocks for norm in (block.mixer_norm, block.ffn_norm)]
    in_heads = [norm for attention in attentions for _, norm in _head_norms(attention)]
    assert isinstance(first, RmsNorm)
    for norm in [*in_blocks, *in_heads]:
        assert isinstance(norm, RmsNorm)
        if norm.eps != first.eps:
            raise CannotCarry(f"norms have different eps ({norm.eps:g} and {first.eps:g}); {architecture.name} has one")
    return first


def _checked_attention(architecture: StockArchitecture, mixer: object) -> SoftmaxAttention:
    name = architecture.name
    if not isinstance(mixer, SoftmaxAttention):
        raise CannotCarry(f"a layer mixes positions by {type(mixer).__name__}; {name} has softmax attention only")
    part = _part(mixer.query)
    for what, there in {"has an output gate": mixer.gate, "has a sliding window": mixer.window}.items():
        if there:
            raise CannotCarry(f"{part} {what}; {name}'s attention does not")
    if len(_head_norms(mixer)) != 2 * architecture.normed_heads:
        not_ours, not_theirs = ("", " not") if _head_norms(mixer) else (" not", "")
        raise CannotCarry(f"{part} does{not_ours} normalise its heads; {name}'s attention does{not_theirs}")
    if mixer.rotary is None:
        raise CannotCarry(f"{part} has no rotary positions; {name}'s attention has")
    if mixer.rotary.head_dim != mixer.head_dim:
        raise CannotCarry(f"{part} turns {mixer.rotary.head_dim} of {mixer.head_dim} channels by position")
    if abs(mixer.scale - mixer.head_dim**-0.5) > 1e-12:
        raise CannotCarry(f"{part} scales its scores by {mixer.scale:g}, {name} by 1 / sqrt(head_dim)")
    for linear in (mixer.query, mixer.key, mixer.value, mixer.output):
        _no_bias(linear)
    return mixer


def _checked_ffn(architecture: StockArchitecture, ffn: object) -> GatedFeedForward:
    if isinstance(ffn, MixtureOfExperts):
        raise CannotCarry(f"{_part(ffn.router)} chooses experts, which this exporter writes in our own keys only")
    if not isinstance(ffn, GatedFeedForward):
        activation, linear = getattr(ffn, "activation", "another function"), getattr(ffn, "up", None)
        part = _part(linear) if isinstance(linear, Linear) else "the feed-forward part"
        raise CannotCarry(
            f"{part} is a plain feed-forward with {activation}; {architecture.name} has the gated one with silu"
        )
    if ffn.activation != "silu":
        raise CannotCarry(f"{_part(ffn.gate)} is gated by {ffn.activation}; {architecture.name} has silu")
    for linear in (ffn.gate, ffn.up, ffn.down):
        _no_bias(linear)
    return ffn


def _part(linear: Linear) -> str:
    """`blocks.0.ffn` of `blocks.0.ffn.up.weight`: the component that a map belongs to."""
    return linear.weight.name.rsplit(".", 2)[0]


def _no_bias(linear: Linear) -> None:
    if linear.bias is not None:
        raise CannotCarry(f"{linear.bias.name} is a bias; models of this kind have none")
