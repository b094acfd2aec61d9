"""The model table of a file that somebody else wrote, from its architecture's keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nanochat_exporters.gguf import hybrid
from nanochat_exporters.gguf.architectures import StockArchitecture, named
from nanochat_exporters.gguf.file_reader import GgufFile
from nanochat_framework.errors import UsageError


def model_table(file: GgufFile) -> dict[str, Any]:
    """The `[model]` table that has this file's shape. Raises UsageError for what the decoder does not have."""
    keys, where = file.keys, str(file.path)
    name = keys["general.architecture"]
    at = name + "."
    architecture = named(name, bool(keys.get(at + "expert_count", 0)))
    if keys.get(at + "rope.scaling.type", "none") != "none":
        raise UsageError(f"{where}: scales its rotary positions, which the decoder does not do")
    if keys.get(at + "nextn_predict_layers", 0):
        raise UsageError(
            f"{where}: has layers that predict further tokens ({at}nextn_predict_layers); convert it without them"
        )
    dim, n_heads = (_integer(keys, at + key, where) for key in ("embedding_length", "attention.head_count"))
    eps = _number(keys, at + "attention.layer_norm_rms_epsilon", where, None)
    head_dim = _integer(keys, at + "attention.key_length", where, dim // n_heads)
    turned = _integer(keys, at + "rope.dimension_count", where, head_dim)
    if _integer(keys, at + "attention.value_length", where, head_dim) != head_dim:
        raise UsageError(
            f"{where}: {at}attention.value_length is not the width of a head ({head_dim}), as the decoder needs"
        )
    n_layers = _integer(keys, at + "block_count", where)
    if n_layers > len(file.tensors):
        raise UsageError(f"{where}: {at}block_count is {n_layers}, more than the file has tensors")
    attention = {
        "name": "gqa",
        "n_heads": n_heads,
        "n_kv_heads": _integer(keys, at + "attention.head_count_kv", where, n_heads),
        "head_dim": head_dim,
        "rope_theta": _number(keys, at + "rope.freq_base", where, 10000.0),
        **({"rotary_dim": turned} if turned != head_dim else {}),
        **({"qk_norm": True, "qk_norm_eps": eps} if architecture.normed_heads else {}),
    }
    table = file.tensors.get("token_embd.weight")
    if table is None:
        raise UsageError(f"{where}: has no tensor token_embd.weight")
    return {
        "name": "decoder",
        "dim": dim,
        "n_layers": n_layers,
        "vocab_size": table.shape[0],
        "max_seq_len": _integer(keys, at + "context_length", where),
        "tie_embeddings": "output.weight" not in file.tensors,
        "attention": _hybrid(keys, at, where, attention, n_layers) if architecture.gated else attention,
        "ffn": _experts(architecture, keys, where) if architecture.experts else _swiglu(keys, at, where),
        "norm": {"name": "rms", "eps": eps},
        "residual": {"name": "add"},
    }


def _hybrid(keys: Mapping[str, Any], at: str, where: str, full: dict[str, Any], n_layers: int) -> dict[str, Any]:
    """Gated attention in some layers, delta nets in the others."""
    turned = full.get("rotary_dim", full["head_dim"])
    sections, expected = keys.get(at + "rope.dimension_sections"), hybrid.rotary_sections(turned // 2)
    if sections != expected:
        raise UsageError(f"{where}: {at}rope.dimension_sections is {sections!r}; for text alone it is {expected}")
    interval = _integer(keys, at + "full_attention_interval", where, 4)
    recurrent = keys.get(at + "attention.recurrent_layers") or hybrid.recurrent_by_interval(n_layers, interval)
    if not isinstance(recurrent, list) or len(recurrent) != n_layers:
        raise UsageError(
            f"{where}: {at}attention.recurrent_layers is not one truth value for each of {n_layers} layers"
        )
    n_heads, width = (_integer(keys, f"{at}ssm.{key}", where) for key in ("group_count", "state_size"))
    return {
        "name": "hybrid",
        "pattern": ["linear" if one else "full" for one in recurrent],
        "full": {**full, "output_gate": True},
        "linear": {
            "name": "deltanet",
            "n_heads": n_heads,
            "n_value_heads": _integer(keys, at + "ssm.time_step_rank", where),
            "head_dim": width,
            "convolution_size": _integer(keys, at + "ssm.conv_kernel", where),
            "eps": full["qk_norm_eps"],
        },
    }


def _swiglu(keys: Mapping[str, Any], at: str, where: str) -> dict[str, Any]:
    return {"name": "swiglu", "hidden_dim": _integer(keys, at + "feed_forward_length", where)}


def _experts(architecture: StockArchitecture, keys: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Experts whose width has a key of its own in the qwen architectures, and that of the feed-forward part in llama."""
    at, width = architecture.name + ".", "expert_feed_forward_length"
    shared = at + "expert_shared_feed_forward_length"
    return {
        "name": "moe",
        "n_experts": _integer(keys, at + "expert_count", where),
        "n_active": _integer(keys, at + "expert_used_count", where),
        "hidden_dim": _integer(keys, at + (width if at + width in keys else "feed_forward_length"), where),
        **(
            {"shared_hidden_dim": _integer(keys, shared, where), "shared_gate": True}
            if architecture.shared_expert
            else {}
        ),
    }


def _integer(keys: Mapping[str, Any], key: str, where: str, default: int | None = None) -> int:
    value = keys.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UsageError(f"{where}: {key} is {value!r}, not a positive whole number")
    return value


def _number(keys: Mapping[str, Any], key: str, where: str, default: float | None) -> float:
    value = keys.get(key, default)
    if not isinstance(value, int | float) or not value > 0:
        raise UsageError(f"{where}: {key} is {value!r}, not a positive number")
    return float(value)
