"""nanochat's rules: all sizes of a model from its depth.

2025 (as first published): width 64 · depth, heads of 128 channels or fewer where that does not come out even. 2026: the
width is rounded up to whole heads of 128. Both: as many key/value heads as heads, a feed-forward of four times the width.
"""

from __future__ import annotations

from typing import Any, Literal

Rule = Literal["nanochat-2025", "nanochat-2026"]

CHANNELS_PER_LAYER = 64
HEAD_DIM = 128
WIDTHS_IN_FFN = 4


def sizes(depth: int, rule: Rule) -> dict[str, Any]:
    """`[model]` keys of a depth; `whole_heads` says whether the rule has any."""
    dim = CHANNELS_PER_LAYER * depth
    n_heads = -(-dim // HEAD_DIM)
    if rule == "nanochat-2026":
        dim = n_heads * HEAD_DIM
    return {
        "dim": dim,
        "n_layers": depth,
        "attention": {"n_heads": n_heads, "n_kv_heads": n_heads, "head_dim": dim // n_heads},
        "ffn": {"hidden_dim": WIDTHS_IN_FFN * dim},
    }


def whole_heads(depth: int, rule: Rule) -> bool:
    """Whether the heads share the width evenly, each with an even number of channels."""
    found = sizes(depth, rule)
    n_heads, head_dim = found["attention"]["n_heads"], found["attention"]["head_dim"]
    return bool(n_heads * head_dim == found["dim"] and head_dim % 2 == 0)
