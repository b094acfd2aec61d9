"""Causal softmax attention that stays within documents."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from nanochat_framework.model.documents import Documents, block_mask

SHORTEST_APART = 64
"""Positions that documents must have on average to be attended one by one on a CPU; calls cost more below it."""


def attend_within(q: Tensor, k: Tensor, v: Tensor, documents: Documents, window: int | None = None) -> Tensor:
    """Attention of each position to the earlier positions of its own document.

    On a CPU each document is attended by itself, which costs the sum of their squared lengths (half to a third of a mask's
    time at 1024 and 2048 positions). Elsewhere, where documents are very short, and in compiled code, which would be compiled
    again for other lengths, a block-diagonal mask is laid over attention to the whole row.

    Args:
        q: (batch, n_heads, seq, head_dim).
        k: (batch, n_kv_heads, seq, head_dim); n_kv_heads divides n_heads.
        v: as k.
        documents: of the same batch and seq.
        window: positions that a position sees, itself included; None: all of its document before it.

    Returns:
        (batch, n_heads, seq, head_dim).
    """
    grouped = q.shape[1] != k.shape[1]
    if torch.compiler.is_compiling():  # a form kept from call to call cannot be traced
        mask = block_mask(documents.ids)
    elif window is None and q.device.type == "cpu" and documents.ids.numel() >= SHORTEST_APART * len(documents.lengths):
        return _one_by_one(q, k, v, documents.lengths, grouped)
    else:
        mask = documents.mask
    if window is not None:
        mask = mask & torch.ones(q.shape[2], q.shape[2], dtype=torch.bool, device=q.device).triu(1 - window)
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=grouped)


def _one_by_one(q: Tensor, k: Tensor, v: Tensor, lengths: list[int], grouped: bool) -> Tensor:
    """Rows laid end to end and cut where documents end."""
    batch, heads, seq, head_dim = q.shape
    queries, keys, values = (torch.split(_end_to_end(x), lengths, dim=2) for x in (q, k, v))
    mixed = [
        functional.scaled_dot_product_attention(*one, is_causal=True, enable_gqa=grouped)
        for one in zip(queries, keys, values, strict=True)
    ]
    return torch.cat(mixed, dim=2).view(heads, batch, seq, head_dim).transpose(0, 1)


def _end_to_end(x: Tensor) -> Tensor:
    """(batch, heads, seq, head_dim) -> (1, heads, batch · seq, head_dim)."""
    return x.transpose(0, 1).reshape(1, x.shape[1], -1, x.shape[3])
