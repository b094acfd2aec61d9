"""The keys of stock llama.cpp's architectures, and where each tensor goes; nothing is rounded on the way.

`llama` turns interleaved pairs (2 i, 2 i + 1) of a head where we turn pairs half a head apart, so the rows of the query
and key maps are reordered on the way out and back in. The qwen architectures turn the same pairs as we do. Where there are
experts, the same map of all of them is one tensor (n_experts, out_features, in_features). llama.cpp renormalises the
softmax of the chosen experts in all three architectures that have them, as we do, and has no key for it.
"""

from __future__ import annotations

from nanochat_exporters.gguf import hybrid
from nanochat_exporters.gguf.architectures import StockArchitecture
from nanochat_exporters.gguf.checks import head_norms, shared_shape
from nanochat_exporters.gguf.contents import Value
from nanochat_exporters.gguf.placement import Placement, at, linear_at, norm_at, rotary_pairs
from nanochat_framework.model.description import (
    GatedDeltaNet,
    GatedFeedForward,
    MixtureOfExperts,
    ModelDescription,
    SoftmaxAttention,
)


def keys(architecture: StockArchitecture, description: ModelDescription) -> dict[str, Value]:
    """The architecture's keys. Raises CannotCarry."""
    shape = shared_shape(architecture, description)
    mixture = shape.mixture
    attention = shape.attention
    assert attention.rotary is not None
    found: dict[str, Value] = {
        "context_length": description.max_seq_len,
        "embedding_length": description.dim,
        "block_count": len(description.blocks),
        "feed_forward_length": shape.ffn.gate.out_features,
        "attention.head_count": attention.n_heads,
        "attention.head_count_kv": attention.n_kv_heads,
        "attention.key_length": attention.head_dim,
        "attention.value_length": attention.head_dim,
        "attention.layer_norm_rms_epsilon": shape.eps,
        "rope.dimension_count": attention.rotary.head_dim,
        "rope.freq_base": attention.rotary.theta,
        "vocab_size": description.vocab_size,
    }
    if architecture.gated:
        found |= hybrid.keys(description, shape)
    if mixture is not None:
        found["expert_count"] = len(mixture.experts)
        found["expert_used_count"] = mixture.n_active
        found["expert_feed_forward_length"] = shape.ffn.gate.out_features
        if mixture.shared is not None:
            found["expert_shared_feed_forward_length"] = mixture.shared.gate.out_features
    return {f"{architecture.name}.{key}": value for key, value in found.items()}


def placements(architecture: StockArchitecture, description: ModelDescription) -> list[Placement]:
    """Every tensor of the file, in order. Raises CannotCarry for what the architecture has no place for."""
    shared_shape(architecture, description)
    found = [at("token_embd.weight", description.embedding.weight)]
    for index, block in enumerate(description.blocks):
        prefix = f"blk.{index}."
        found.append(norm_at(prefix + "attn_norm.weight", block.mixer_norm))
        if isinstance(block.mixer, GatedDeltaNet):
            found += hybrid.recurrence(prefix, block.mixer)
        else:
            assert isinstance(block.mixer, SoftmaxAttention)
            found += _attention(prefix, block.mixer, architecture)
        second_norm = "post_attention_norm" if architecture.gated else "ffn_norm"
        found.append(norm_at(f"{prefix}{second_norm}.weight", block.ffn_norm))
        if isinstance(block.ffn, MixtureOfExperts):
            found += _experts(prefix, block.ffn)
        else:
            assert isinstance(block.ffn, GatedFeedForward)
            found += [linear_at(f"{prefix}ffn_{which}.weight", getattr(block.ffn, which)) for which in _MAPS]
    found.append(norm_at("output_norm.weight", description.final_norm))
    if description.head is not None:
        found.append(linear_at("output.weight", description.head))
    return found


_MAPS = ("gate", "up", "down")


def _attention(prefix: str, attention: SoftmaxAttention, architecture: StockArchitecture) -> list[Placement]:
    query, key = (rotary_pairs(heads, attention.head_dim) for heads in (attention.n_heads, attention.n_kv_heads))
    moved = architecture.interleaved
    return [
        hybrid.query_and_gate(prefix, attention)
        if attention.gate
        else linear_at(prefix + "attn_q.weight", attention.query, query if moved else None),
        linear_at(prefix + "attn_k.weight", attention.key, key if moved else None),
        linear_at(prefix + "attn_v.weight", attention.value),
        linear_at(prefix + "attn_output.weight", attention.output),
        *(norm_at(f"{prefix}attn_{which}_norm.weight", norm) for which, norm in head_norms(attention)),
    ]


def _experts(prefix: str, mixture: MixtureOfExperts) -> list[Placement]:
    """The router, each map of all experts as one tensor, and the shared expert with its gate if there is one."""
    found = [linear_at(prefix + "ffn_gate_inp.weight", mixture.router)]
    for which in _MAPS:
        weights = [getattr(expert, which).weight for expert in mixture.experts]
        shape = (len(weights), *weights[0].shape)
        found.append(at(f"{prefix}ffn_{which}_exps.weight", *weights, shape=shape))
    if mixture.shared is not None and mixture.shared_gate is not None:
        gate = mixture.shared_gate.weight
        found.append(at(prefix + "ffn_gate_inp_shexp.weight", gate, shape=gate.shape[1:]))
        found += [linear_at(f"{prefix}ffn_{which}_shexp.weight", getattr(mixture.shared, which)) for which in _MAPS]
    return found
