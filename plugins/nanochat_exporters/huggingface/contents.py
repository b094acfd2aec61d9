"""The architectures of transformers that the decoder shares, and the names that a folder gives to its tensors."""

from __future__ import annotations

from typing import Any

from nanochat_exporters.gguf.architectures import LLAMA, QWEN3, StockArchitecture, best_fit
from nanochat_exporters.gguf.checks import head_norms, shared_shape
from nanochat_exporters.gguf.placement import Placement, at, linear_at, norm_at
from nanochat_framework.model.description import GatedFeedForward, ModelDescription, SoftmaxAttention

CLASSES = {"LlamaForCausalLM": LLAMA, "Qwen3ForCausalLM": QWEN3}
"""transformers' classes, and the same architectures by llama.cpp's names, which are transformers' `model_type` too."""


def class_of(description: ModelDescription) -> tuple[str, StockArchitecture]:
    """The class that carries a model. Raises CannotCarry, naming the part that it has no place for."""
    architecture = QWEN3 if best_fit(description).normed_heads else LLAMA
    shared_shape(architecture, description)
    return next((name, known) for name, known in CLASSES.items() if known is architecture)


def placements(description: ModelDescription) -> list[Placement]:
    """Every tensor of the folder, in order. Raises CannotCarry for what the architecture has no place for."""
    class_of(description)
    found = [at("model.embed_tokens.weight", description.embedding.weight)]
    for index, block in enumerate(description.blocks):
        attention, ffn = block.mixer, block.ffn
        assert isinstance(attention, SoftmaxAttention) and isinstance(ffn, GatedFeedForward)
        prefix = f"model.layers.{index}."
        found += [
            norm_at(prefix + "input_layernorm.weight", block.mixer_norm),
            linear_at(prefix + "self_attn.q_proj.weight", attention.query),
            linear_at(prefix + "self_attn.k_proj.weight", attention.key),
            linear_at(prefix + "self_attn.v_proj.weight", attention.value),
            linear_at(prefix + "self_attn.o_proj.weight", attention.output),
            *(norm_at(f"{prefix}self_attn.{which}_norm.weight", norm) for which, norm in head_norms(attention)),
            norm_at(prefix + "post_attention_layernorm.weight", block.ffn_norm),
            linear_at(prefix + "mlp.gate_proj.weight", ffn.gate),
            linear_at(prefix + "mlp.up_proj.weight", ffn.up),
            linear_at(prefix + "mlp.down_proj.weight", ffn.down),
        ]
    found.append(norm_at("model.norm.weight", description.final_norm))
    if description.head is not None:
        found.append(linear_at("lm_head.weight", description.head))
    return found


def config_json(description: ModelDescription, dtype: str) -> dict[str, Any]:
    """`config.json` without the ids of special tokens; `dtype` is torch's name of the weights' type.

    The base of the rotary frequencies stands in it twice: transformers 5 reads `rope_parameters`, what came before, and
    llama.cpp's and vLLM's readers, `rope_theta`. Raises CannotCarry.
    """
    class_name, architecture = class_of(description)
    shape = shared_shape(architecture, description)
    attention = shape.attention
    assert attention.rotary is not None
    return {
        "architectures": [class_name],
        "model_type": architecture.name,
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
        **({"mlp_bias": False} if architecture is LLAMA else {"use_sliding_window": False}),
        "torch_dtype": dtype,
    }
