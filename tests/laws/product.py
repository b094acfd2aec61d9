"""Every way of putting first-party parts together at tiny sizes, and few of them that have every pair of parts.

The few run with the suite; the others are marked `full` (`make test-full`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, product
from typing import Any

import pytest

GQA = {"name": "gqa", "n_heads": 4, "n_kv_heads": 2, "head_dim": 16}
GATED = {**GQA, "qk_norm": True, "output_gate": True}
DELTANET = {"name": "deltanet", "n_heads": 2, "n_value_heads": 4, "head_dim": 16}
ATTENTION: dict[str, dict[str, Any]] = {
    "gqa": GQA,
    "gated-window": {**GATED, "window": 5},
    "value-embeddings": GQA,
    "deltanet": DELTANET,
    "hybrid": {"name": "hybrid", "linear_ratio": 0.5, "full": GATED, "linear": DELTANET},
}
FFN: dict[str, dict[str, Any]] = {
    "swiglu": {"name": "swiglu", "hidden_dim": 96},
    "relu2": {"name": "relu2", "hidden_dim": 96},
    "moe": {  # without router losses, which are means over a batch and so no sums over micro-batches
        "name": "moe",
        "n_experts": 4,
        "hidden_dim": 32,
        "shared_hidden_dim": 32,
        "shared_gate": True,
        "balance_weight": 0.0,
        "router_z_weight": 0.0,
    },
    "moe-bias": {
        "name": "moe",
        "n_experts": 4,
        "hidden_dim": 32,
        "balance_weight": 0.0,
        "router_z_weight": 0.0,
        "bias_update_speed": 0.001,
    },
}
RESIDUAL: dict[str, dict[str, Any]] = {
    "add": {"name": "add"},
    "mhc-2": {"name": "mhc"},
    "mhc-4-dynamic": {"name": "mhc", "streams": 4, "dynamic": True},
}
QUANTIZER: dict[str, list[dict[str, Any]]] = {
    "float": [],
    "ternary": [{"match": "matrix", "name": "ternary", "group_size": 32}],
    "int4-learned": [{"match": "matrix", "name": "int4", "scale": "learned"}],
    "fp8": [{"match": "matrix", "name": "fp8", "activation_bits": 0}],
}
VALUE_EMBEDDINGS = {"value-embeddings": {}}
"""`model.value_embeddings` by the name of the attention that has them."""
AXES: tuple[dict[str, Any], ...] = (ATTENTION, FFN, RESIDUAL, QUANTIZER)

Choice = tuple[str, ...]
"""One name of each axis."""


def pairwise(axes: Sequence[Sequence[str]]) -> list[Choice]:
    """Choices in which every two names of different axes meet, found greedily: each takes the most that have not met."""
    everything = list(product(*axes))
    missing = {pair for choice in everything for pair in _pairs(choice)}
    found: list[Choice] = []
    while missing:
        best = max(everything, key=lambda choice: len(missing & _pairs(choice)))
        found.append(best)
        missing -= _pairs(best)
    return found


def _pairs(choice: Choice) -> frozenset[tuple[tuple[int, str], tuple[int, str]]]:
    return frozenset(combinations(enumerate(choice), 2))


def cases() -> list[Any]:
    """Parameters of a test, an id like `hybrid+moe+mhc-2+ternary` each."""
    few = set(pairwise([list(axis) for axis in AXES]))
    marks = {True: (), False: (pytest.mark.full,)}
    return [pytest.param(choice, id="+".join(choice), marks=marks[choice in few]) for choice in product(*AXES)]


def changes(choice: Choice) -> dict[str, Any]:
    """Arguments of `tiny_config` for a choice."""
    attention, ffn, residual, quantizer = (axis[name] for axis, name in zip(AXES, choice, strict=True))
    return {
        "model__attention": attention,
        "model__value_embeddings": VALUE_EMBEDDINGS.get(choice[0]),
        "model__ffn": ffn,
        "model__residual": residual,
        "quantizer": quantizer,
    }
