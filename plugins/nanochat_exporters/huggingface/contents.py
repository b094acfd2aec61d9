"""The architectures of transformers that the decoder shares, and the names that a folder gives to its tensors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from nanochat_exporters.gguf.architectures import LLAMA, QWEN3, QWEN3_EXPERTS, StockArchitecture, best_fit
from nanochat_exporters.gguf.checks import head_norms, shared_shape
from nanochat_exporters.gguf.placement import Placement, at, linear_at, norm_at
from nanochat_framework.model.description import (
    GatedFeedForward,
    MixtureOfExperts,
    ModelDescription,
    SoftmaxAttention,
)


@dataclass(frozen=True)
class TransformersClass:
    """A class of transformers, the `model_type` that selects it, and the same architecture as llama.cpp has it."""

    name: str
    model_type: str
    architecture: StockArchitecture


CLASSES = (
    TransformersClass("LlamaForCausalLM", "llama", LLAMA),
    TransformersClass("Qwen3ForCausalLM", "qwen3", QWEN3),
    TransformersClass("Qwen3MoeForCausalLM", "qwen3_moe", QWEN3_EXPERTS),
)


def class_of(description: ModelDescription) -> TransformersClass:
    """The class that carries a model. Raises CannotCarry, naming the part that it has no place for."""
    best = best_fit(description)
    architecture = QWEN3_EXPERTS if best.experts else QWEN3 if best.normed_heads else LLAMA
    shared_shape(architecture, description)
    return next(known for known in CLASSES if known.architecture is architecture)


def placements(description: ModelDescription) -> list[Placement]:
    """Every tensor of the folder, in order. Raises CannotCarry for what the architecture has no place for."""
    class_of(description)
    found = [at("model.embed_tokens.weight", description.embedding.weight)]
    for index, block in enumerate(description.blocks):
        attention, ffn = block.mixer, block.ffn
        assert isinstance(attention, SoftmaxAttention)
        prefix = f"model.layers.{index}."
        found += [
            norm_at(prefix + "input_layernorm.weight", block.mixer_norm),
            linear_at(prefix + "self_attn.q_proj.weight", attention.query),
            linear_at(prefix + "self_attn.k_proj.weight", attention.key),
            linear_at(prefix + "self_attn.v_proj.weight", attention.value),
            linear_at(prefix + "self_attn.o_proj.weight", attention.output),
            *(norm_at(f"{prefix}self_attn.{which}_norm.weight", norm) for which, norm in head_norms(attention)),
            norm_at(prefix + "post_attention_layernorm.weight", block.ffn_norm),
            *_feed_forward(prefix + "mlp.", ffn),
        ]
    found.append(norm_at("model.norm.weight", description.final_norm))
    if description.head is not None:
        found.append(linear_at("lm_head.weight", description.head))
    return found


def _feed_forward(prefix: str, part: Any) -> Iterator[Placement]:
    """The three maps, or the router and those of each expert."""
    if isinstance(part, MixtureOfExperts):
        yield linear_at(prefix + "gate.weight", part.router)
        for number, expert in enumerate(part.experts):
            yield from _feed_forward(f"{prefix}experts.{number}.", expert)
        return
    assert isinstance(part, GatedFeedForward)
    for which in ("gate", "up", "down"):
        yield linear_at(f"{prefix}{which}_proj.weight", getattr(part, which))


def config_json(description: ModelDescription, dtype: str) -> dict[str, Any]:
    """`config.json` without the ids of special tokens; `dtype` is torch's name of the weights' type.

    The base of the rotary frequencies stands in it twice: transformers 5 reads `rope_parameters`, what came before, and
    llama.cpp's and vLLM's readers, `rope_theta`. Raises CannotCarry.
    """
    chosen = class_of(description)
    shape = shared_shape(chosen.architecture, description)
    attention = shape.attention
    assert attention.rotary is not None
    return {
        "architectures": [chosen.name],
        "model_type": chosen.model_type,
        "vocab_size": description.vocab_size,
        "hidden_size": description.dim,
        "intermediate_size": shape.ffn.gate.out_features,
        "num_hidden_layers": len(description.blocks),
        "num_attention_heads": attention.n_heads,
        "num_key_value_heads": attention.n_kv_heads,
        "head_dim": attention.head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": description.max_seq_len,
        "rms_norm_eps": shape.eps,
        "rope_theta": attention.rotary.theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": attention.rotary.theta},
        "tie_word_embeddings": description.head is None,
        "attention_bias": False,
        **({"mlp_bias": False} if chosen.architecture is LLAMA else {"use_sliding_window": False}),
        **({} if shape.mixture is None else _expert_keys(shape.mixture)),
        "torch_dtype": dtype,
    }


def _expert_keys(mixture: MixtureOfExperts) -> dict[str, Any]:
    return {
        "num_experts": len(mixture.experts),
        "num_experts_per_tok": mixture.n_active,
        "moe_intermediate_size": mixture.experts[0].gate.out_features,
        "norm_topk_prob": True,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
    }
