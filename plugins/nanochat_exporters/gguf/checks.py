"""Whether an architecture of stock llama.cpp carries a model: one line on the first part that it has no place for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nanochat_exporters.gguf.architectures import StockArchitecture
from nanochat_exporters.gguf.contents import CannotCarry
from nanochat_framework.model.description import (
    AddResidual,
    GatedDeltaNet,
    GatedFeedForward,
    Linear,
    MixtureOfExperts,
    ModelDescription,
    RmsNorm,
    SoftmaxAttention,
)

MOST_EXPERTS = 1024
"""LLAMA_MAX_EXPERTS of llama.cpp since 2026-10; it was 512 before."""


@dataclass(frozen=True)
class Shape:
    """What all layers share: their feed-forward part (that of an expert), the eps of norms, and each kind of mixer."""

    attention: SoftmaxAttention
    recurrence: GatedDeltaNet | None
    ffn: GatedFeedForward
    eps: float
    mixture: MixtureOfExperts | None = None


def shared_shape(architecture: StockArchitecture, description: ModelDescription) -> Shape:
    """The shape of a model that the architecture carries. Raises CannotCarry naming the part that it does not."""
    name = architecture.name
    for opaque in description.opaque():
        raise CannotCarry(f"{opaque.component} does not describe itself as operations that {name} has")
    if description.order:
        again, times = Counter(description.order).most_common(1)[0]
        raise CannotCarry(f"blocks.{again} is run {times} times (a looped model); {name} runs each block once")
    if not isinstance(description.residual, AddResidual) or description.residual.streams != 1:
        raise CannotCarry(f"the residual has more than one stream; {name} has the plain one")
    if description.embedding.scale != 1.0:
        raise CannotCarry(f"{description.embedding.weight.name} is scaled by {description.embedding.scale:g}")
    if description.embedding_norm is not None:
        raise CannotCarry(f"a norm stands between the embedding and the first block; {name} has none there")
    if description.logit_softcap is not None:
        raise CannotCarry(f"scores are capped at {description.logit_softcap:g}; {name}'s are not")
    for embedding in filter(None, (block.value_embedding for block in description.blocks)):
        part = _part(embedding.gate)
        raise CannotCarry(f"{part} adds rows of a table to the values of attention (value_embeddings); {name} does not")
    if description.head is not None:
        _no_bias(description.head)
    mixers = [_checked_mixer(architecture, block.mixer) for block in description.blocks]
    attentions = [mixer for mixer in mixers if isinstance(mixer, SoftmaxAttention)]
    recurrences = [mixer for mixer in mixers if isinstance(mixer, GatedDeltaNet)]
    if architecture.gated:
        _both_kinds(name, attentions, recurrences)
    ffns = [_checked_ffn(architecture, block.ffn) for block in description.blocks]
    if len({(a.n_heads, a.n_kv_heads, a.head_dim, a.rotary) for a in attentions}) > 1:
        raise CannotCarry(f"layers differ in their attention heads or rotary positions; {name} has one shape for all")
    if len({(r.n_heads, r.n_value_heads, r.head_dim, r.convolution.shape) for r in recurrences}) > 1:
        raise CannotCarry(
            f"layers differ in the heads or the convolution of their delta nets; {name} has one shape for all"
        )
    return Shape(
        attentions[0],
        recurrences[0] if recurrences else None,
        _one_width(name, ffns),
        _one_eps(name, description, mixers),
        _one_mixture(name, ffns),
    )


def head_norms(attention: SoftmaxAttention) -> list[tuple[str, RmsNorm]]:
    """The norms of the heads, by the letter that files name them with."""
    return [(letter, norm) for letter, norm in (("q", attention.query_norm), ("k", attention.key_norm)) if norm]


def _one_width(name: str, ffns: Sequence[GatedFeedForward | MixtureOfExperts]) -> GatedFeedForward:
    """One of the gated feed-forwards, experts among them, if all are as wide."""
    each = [one for ffn in ffns for one in (ffn.experts if isinstance(ffn, MixtureOfExperts) else (ffn,))]
    if len({ffn.gate.out_features for ffn in each}) > 1:
        raise CannotCarry(f"layers differ in their feed-forward width; {name} has one for all")
    return each[0]


def _one_mixture(name: str, ffns: Sequence[GatedFeedForward | MixtureOfExperts]) -> MixtureOfExperts | None:
    mixtures = [ffn for ffn in ffns if isinstance(ffn, MixtureOfExperts)]
    if len({(len(mixture.experts), mixture.n_active) for mixture in mixtures}) > 1:
        raise CannotCarry(f"layers differ in their numbers of experts; {name} has one for all")
    if len({mixture.shared.gate.out_features for mixture in mixtures if mixture.shared}) > 1:
        raise CannotCarry(f"layers differ in the width of their shared expert; {name} has one for all")
    return mixtures[0] if mixtures else None


def _one_eps(name: str, description: ModelDescription, mixers: Sequence[SoftmaxAttention | GatedDeltaNet]) -> float:
    first = description.final_norm
    in_blocks = [norm for block in description.blocks for norm in (block.mixer_norm, block.ffn_norm)]
    in_heads = [
        norm
        for mixer in mixers
        for norm in ([mixer.norm] if isinstance(mixer, GatedDeltaNet) else [norm for _, norm in head_norms(mixer)])
    ]
    assert isinstance(first, RmsNorm)
    for norm in [*in_blocks, *in_heads]:
        assert isinstance(norm, RmsNorm)
        if norm.eps != first.eps:
            raise CannotCarry(f"norms have different eps ({norm.eps:g} and {first.eps:g}); {name} has one")
    return first.eps


def _checked_mixer(architecture: StockArchitecture, mixer: Any) -> SoftmaxAttention | GatedDeltaNet:
    if isinstance(mixer, GatedDeltaNet):
        if not architecture.gated:
            raise CannotCarry(f"{_part(mixer.query)} is a delta net; {architecture.name} has softmax attention only")
        parts = (mixer.query, mixer.key, mixer.value, mixer.gate, mixer.beta, mixer.decay, mixer.output)
        for linear in parts:
            _no_bias(linear)
        return mixer
    return _checked_attention(architecture, mixer)


def _both_kinds(name: str, attentions: Sequence[SoftmaxAttention], recurrences: Sequence[GatedDeltaNet]) -> None:
    """llama.cpp keeps a cache for each kind and cannot make an empty one."""
    if not attentions:
        raise CannotCarry(
            f"{_part(recurrences[0].query)} is a delta net, as in all layers; {name} needs softmax attention too"
        )
    if not recurrences:
        raise CannotCarry(
            f"{_part(attentions[0].query)} has an output gate (output_gate), which llama.cpp has beside delta nets only "
            f"({name}); no layer is one"
        )


def _checked_attention(architecture: StockArchitecture, mixer: SoftmaxAttention) -> SoftmaxAttention:
    name = architecture.name
    part = _part(mixer.query)
    if (mixer.gate is not None) != architecture.gated:
        ours, theirs = ("no", "has one") if architecture.gated else ("an", "has none")
        raise CannotCarry(f"{part} has {ours} output gate (output_gate); {name}'s attention {theirs}")
    if mixer.window is not None:
        raise CannotCarry(f"{part} has a sliding window; {name}'s attention does not")
    if len(head_norms(mixer)) != 2 * architecture.normed_heads:
        not_ours, not_theirs = ("", " not") if head_norms(mixer) else (" not", "")
        raise CannotCarry(f"{part} does{not_ours} normalise its heads (qk_norm); {name}'s attention does{not_theirs}")
    if mixer.rotary is None:
        raise CannotCarry(f"{part} has no rotary positions; {name}'s attention has")
    if mixer.rotary.head_dim != mixer.head_dim and not architecture.gated:
        turned = f"{mixer.rotary.head_dim} of {mixer.head_dim} channels"
        raise CannotCarry(f"{part} turns {turned} by position (rotary_dim), {name} all")
    if abs(mixer.scale - mixer.head_dim**-0.5) > 1e-12:
        raise CannotCarry(f"{part} scales its scores by {mixer.scale:g}, {name} by 1 / sqrt(head_dim)")
    for linear in (mixer.query, mixer.key, mixer.value, mixer.output, *([mixer.gate] if mixer.gate else [])):
        _no_bias(linear)
    return mixer


def _checked_ffn(architecture: StockArchitecture, ffn: Any) -> GatedFeedForward | MixtureOfExperts:
    name = architecture.name
    if isinstance(ffn, MixtureOfExperts) != architecture.experts:
        part = _part(ffn.router if isinstance(ffn, MixtureOfExperts) else ffn.up)
        ours, theirs = ("chooses experts", "no") if isinstance(ffn, MixtureOfExperts) else ("has no experts", "only")
        raise CannotCarry(f"{part} {ours}; {name} has {theirs} layers with experts")
    if not isinstance(ffn, MixtureOfExperts):
        return _checked_gated(name, ffn)
    part = _part(ffn.router)
    _check_shared(architecture, part, ffn)
    if len(ffn.experts) > MOST_EXPERTS:
        raise CannotCarry(f"{part} has {len(ffn.experts)} experts; llama.cpp takes at most {MOST_EXPERTS}")
    if ffn.expert_bias is not None:
        raise CannotCarry(
            f"{part} chooses experts by scores with a bias (bias_update_speed); {name} has no place for {ffn.expert_bias.name}"
        )
    _no_bias(ffn.router)
    for expert in ffn.experts:
        _checked_gated(name, expert)
    return ffn


def _check_shared(architecture: StockArchitecture, part: str, mixture: MixtureOfExperts) -> None:
    name = architecture.name
    if (mixture.shared is not None) != architecture.shared_expert:
        ours, theirs = ("no", "one") if architecture.shared_expert else ("a", "none")
        raise CannotCarry(f"{part} has {ours} shared expert (shared_hidden_dim); {name} has {theirs}")
    if mixture.shared is not None:
        if mixture.shared_gate is None:
            raise CannotCarry(f"{part} has a shared expert without a gate (shared_gate); {name}'s has one")
        _no_bias(mixture.shared_gate)
        _checked_gated(name, mixture.shared)


def _checked_gated(name: str, ffn: Any) -> GatedFeedForward:
    if not isinstance(ffn, GatedFeedForward):
        activation = getattr(ffn, "activation", "another function")
        raise CannotCarry(
            f"{_part(ffn.up)} is a plain feed-forward with {activation}; {name} has the gated one with silu"
        )
    if ffn.activation != "silu":
        raise CannotCarry(f"{_part(ffn.gate)} is gated by {ffn.activation}; {name} has silu")
    for linear in (ffn.gate, ffn.up, ffn.down):
        _no_bias(linear)
    return ffn


def _part(linear: Linear) -> str:
    """`blocks.0.ffn` of `blocks.0.ffn.up.weight`: the component that a map belongs to."""
    return linear.weight.name.rsplit(".", 2)[0]


def _no_bias(linear: Linear) -> None:
    if linear.bias is not None:
        raise CannotCarry(f"{linear.bias.name} is a bias; models of this kind have none")
