"""The models that the laws are held against: first-party parts, and the probes of contracts still to be met."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

GQA = {"name": "gqa", "n_heads": 4, "n_kv_heads": 2, "head_dim": 16}
MHA = {"name": "gqa", "n_heads": 4, "n_kv_heads": 4, "head_dim": 16}
SWIGLU = {"name": "swiglu", "hidden_dim": 96}
RELU2 = {"name": "relu2", "hidden_dim": 96}
ADD = {"name": "add"}
AFFINE, PLAIN = {"name": "rms"}, {"name": "rms", "affine": False}

COMBINATIONS: dict[str, dict[str, Any]] = {
    "gqa-swiglu-tied": {"attention": GQA, "ffn": SWIGLU, "norm": AFFINE, "residual": ADD, "tie_embeddings": True},
    "mha-relu2-untied": {"attention": MHA, "ffn": RELU2, "norm": PLAIN, "residual": ADD, "tie_embeddings": False},
    "recurrent": {"attention": {"name": "probe/recurrent"}, "ffn": SWIGLU, "norm": AFFINE, "residual": ADD},
    "two-streams": {"attention": GQA, "ffn": SWIGLU, "norm": AFFINE, "residual": {"name": "probe/two_streams"}},
    "top2": {"attention": GQA, "ffn": {"name": "probe/top2"}, "norm": AFFINE, "residual": ADD},
    "nanochat": {
        "attention": {**MHA, "qk_norm": True, "qk_norm_affine": False},
        "ffn": RELU2,
        "norm": PLAIN,
        "residual": ADD,
        "embedding_norm": True,
        "logit_softcap": 15.0,
    },
    "value-embeddings": {
        "attention": GQA,
        "ffn": SWIGLU,
        "norm": AFFINE,
        "residual": ADD,
        "n_layers": 3,
        "value_embeddings": {},
    },
    "normed-gated-windowed": {
        "attention": {**GQA, "qk_norm": True, "output_gate": True, "window": 5},
        "ffn": SWIGLU,
        "norm": AFFINE,
        "residual": ADD,
    },
    "deltanet": {
        "attention": {"name": "deltanet", "n_heads": 2, "n_value_heads": 4, "head_dim": 16},
        "ffn": SWIGLU,
        "norm": AFFINE,
        "residual": ADD,
    },
    "hybrid": {
        "attention": {
            "name": "hybrid",
            "linear_ratio": 0.5,
            "full": GQA,
            "linear": {"name": "deltanet", "n_heads": 4, "head_dim": 16},
        },
        "ffn": RELU2,
        "norm": AFFINE,
        "residual": ADD,
    },
    "moe": {
        "attention": GQA,
        "ffn": {"name": "moe", "n_experts": 4, "hidden_dim": 32, "shared_hidden_dim": 32, "shared_gate": True},
        "norm": AFFINE,
        "residual": ADD,
    },
    "moe-bias": {
        "attention": GQA,
        "ffn": {"name": "moe", "n_experts": 5, "hidden_dim": 32, "balance_weight": 0.0, "bias_update_speed": 0.01},
        "norm": AFFINE,
        "residual": ADD,
    },
    "mhc-2": {"attention": GQA, "ffn": SWIGLU, "norm": AFFINE, "residual": {"name": "mhc"}},
    "mhc-4-dynamic": {
        "attention": MHA,
        "ffn": RELU2,
        "norm": PLAIN,
        "residual": {"name": "mhc", "streams": 4, "dynamic": True, "order": "add_then_mix"},
    },
    "looped": {
        "name": "looped",
        "n_layers": 4,
        "n_iterations": 3,
        "n_layers_before": 1,
        "n_layers_after": 1,
        "attention": GQA,
        "ffn": SWIGLU,
        "norm": AFFINE,
        "residual": ADD,
    },
    "looped-mhc": {
        "name": "looped",
        "n_iterations": 2,
        "n_layers_before": 1,
        "attention": {"name": "deltanet", "n_heads": 4, "head_dim": 16},
        "ffn": RELU2,
        "norm": PLAIN,
        "residual": {"name": "mhc"},
    },
    "all-probes": {
        "attention": {"name": "probe/recurrent"},
        "ffn": {"name": "probe/top2"},
        "norm": PLAIN,
        "residual": {"name": "probe/two_streams"},
    },
}

TERNARY = [{"match": "matrix", "name": "ternary", "group_size": 32}]
QUANTIZERS: dict[str, list[dict[str, Any]]] = {"float": [], "ternary": TERNARY}


def changes(combination: str, quantizer: str = "float") -> dict[str, Any]:
    """Arguments of `tiny_config` for one model."""
    parts = {f"model__{part}": value for part, value in COMBINATIONS[combination].items()}
    return {**parts, "quantizer": QUANTIZERS[quantizer]}


def random_tokens(batch: int, seq: int, vocab_size: int = 97, seed: int = 0) -> Tensor:
    """(batch, seq) int64."""
    return torch.randint(0, vocab_size, (batch, seq), generator=torch.Generator().manual_seed(seed))
