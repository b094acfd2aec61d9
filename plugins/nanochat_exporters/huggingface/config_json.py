"""The `[model]` table that a `config.json` amounts to, or one line on what the decoder does not have."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nanochat_exporters.gguf.architectures import QWEN3
from nanochat_exporters.huggingface.contents import CLASSES
from nanochat_framework.errors import UsageError

CONFIG = "config.json"


def read_config(folder: Path) -> dict[str, Any]:
    """`config.json` of a folder. Raises UsageError."""
    return read_json(folder / CONFIG)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. Raises UsageError for a file that is missing or holds something else."""
    try:
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not JSON ({error})") from None
    if not isinstance(data, dict):
        raise UsageError(f"{path}: holds no JSON object")
    return data


def model_table(config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The table. Raises UsageError, beginning with `where`, for another architecture or a part that it has not."""
    kind, known = config.get("model_type"), {each.model_type: each.architecture for each in CLASSES}
    if kind not in known:
        raise UsageError(f"{where}: model_type is {kind!r}; {', '.join(known)} can be read")
    architecture = known[kind]
    _refuse(config, where)
    dim, n_heads = _integer(config, "hidden_size", where), _integer(config, "num_attention_heads", where)
    eps = _number(config, "rms_norm_eps", where, 1e-6)
    head_dim = _integer(config, "head_dim", where, 128 if architecture is QWEN3 else dim // n_heads)
    return {
        "name": "decoder",
        "dim": dim,
        "n_layers": _integer(config, "num_hidden_layers", where),
        "vocab_size": _integer(config, "vocab_size", where),
        "max_seq_len": _integer(config, "max_position_embeddings", where),
        "tie_embeddings": config.get("tie_word_embeddings") is True,
        "attention": {
            "name": "gqa",
            "n_heads": n_heads,
            "n_kv_heads": _integer(config, "num_key_value_heads", where, n_heads),
            "head_dim": head_dim,
            "rope_theta": _number(_rope(config), "rope_theta", where, 10000.0),
            **({"qk_norm": True, "qk_norm_eps": eps} if architecture.normed_heads else {}),
        },
        "ffn": _experts(config, where) if architecture.experts else _swiglu(config, where),
        "norm": {"name": "rms", "eps": eps},
        "residual": {"name": "add"},
    }


def _swiglu(config: Mapping[str, Any], where: str) -> dict[str, Any]:
    return {"name": "swiglu", "hidden_dim": _integer(config, "intermediate_size", where)}


def _experts(config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Raises UsageError where layers differ, or where gates are not what ours are."""
    if not config.get("norm_topk_prob"):
        raise UsageError(
            f"{where}: norm_topk_prob is not true: gates of the chosen experts do not sum to 1, as ours do"
        )
    if config.get("decoder_sparse_step", 1) != 1 or config.get("mlp_only_layers"):
        raise UsageError(f"{where}: some layers have no experts (mlp_only_layers); layers of the decoder are all alike")
    count = "num_experts" if "num_experts" in config else "num_local_experts"  # transformers 5 writes the latter
    return {
        "name": "moe",
        "n_experts": _integer(config, count, where),
        "n_active": _integer(config, "num_experts_per_tok", where),
        "hidden_dim": _integer(config, "moe_intermediate_size", where),
    }


def _refuse(config: Mapping[str, Any], where: str) -> None:
    """Raise UsageError for the first setting that the decoder has no part for."""
    for key, what in (("attention_bias", "biases in its attention"), ("mlp_bias", "biases in its feed-forward part")):
        if config.get(key):
            raise UsageError(f"{where}: {key} is true: the model has {what}, which the decoder does not have")
    rope = _rope(config)
    scaling = rope.get("rope_type", rope.get("type", "default"))
    if scaling != "default":
        raise UsageError(f"{where}: rope scaling {scaling!r}: the decoder does not scale its rotary positions")
    if rope.get("partial_rotary_factor", 1.0) != 1.0:
        raise UsageError(f"{where}: partial_rotary_factor: models of this type turn whole heads")
    if config.get("hidden_act", "silu") != "silu":
        raise UsageError(f"{where}: hidden_act is {config['hidden_act']!r}; the decoder's gated feed-forward has silu")
    if config.get("use_sliding_window") or "sliding_attention" in (config.get("layer_types") or ()):
        raise UsageError(f"{where}: some layers have a sliding window; layers of the decoder are all alike")
    if config.get("quantization_config"):
        raise UsageError(f"{where}: its weights are quantised (quantization_config); import the unquantised model")


def _rope(config: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of rotary positions: `rope_parameters` of transformers 5, else `rope_theta` and `rope_scaling`."""
    found = {key: config[key] for key in ("rope_theta", "partial_rotary_factor") if config.get(key) is not None}
    for key in ("rope_scaling", "rope_parameters"):
        value = config.get(key)
        found.update(value if isinstance(value, dict) else {})
    return found


def _integer(config: Mapping[str, Any], key: str, where: str, default: int | None = None) -> int:
    value = config.get(key)
    value = default if value is None else value
    if type(value) is not int or value < 1:
        raise UsageError(f"{where}: {key} is {value!r}, not a positive whole number")
    return value


def _number(config: Mapping[str, Any], key: str, where: str, default: float) -> float:
    value = config.get(key, default)
    if not isinstance(value, int | float) or isinstance(value, bool) or not value > 0:
        raise UsageError(f"{where}: {key} is {value!r}, not a positive number")
    return float(value)
