"""Grouped-query attention (Ainslie et al. 2023, arXiv 2305.13245) with rotary positions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from nanochat_attention.config import GqaConfig
from nanochat_framework.contracts.attention import Attention
from nanochat_framework.model.describe import Place
from nanochat_framework.model.linear import Linear, linear_together
from nanochat_framework.model.rotary import RotaryEmbedding
from nanochat_framework.model.state import KeyValueState, SequenceState


class GroupedQueryAttention(Attention):
    """softmax(q kᵀ / sqrt(head_dim)) v, causal; query head h reads key/value head h // (n_heads / n_kv_heads)."""

    def __init__(self, config: GqaConfig, place: Place) -> None:
        super().__init__()
        self.n_heads, self.n_kv_heads, self.head_dim = config.n_heads, config.n_kv_heads, config.head_dim
        self.max_seq_len = place.max_seq_len
        inner, shared = config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim
        self.query = Linear(place.dim, inner)
        self.key = Linear(place.dim, shared)
        self.value = Linear(place.dim, shared)
        self.output = Linear(inner, place.dim, init_scale=(2 * place.n_layers) ** -0.5)
        self.rotary = RotaryEmbedding(config.head_dim, config.rope_theta, place.max_seq_len)

    def forward(
        self,
        x: Tensor,
        positions: Tensor,
        *,
        state: SequenceState | None = None,
        documents: Tensor | None = None,
    ) -> Tensor:
        """(batch, seq, dim) -> (batch, seq, dim)."""
        batch, seq, _ = x.shape
        start = state.length if state is not None else 0
        q, k, v = linear_together(x, (self.query, self.key, self.value))
        cos, sin = self.rotary.tables(positions, start + seq)
        q = self.rotary(self._heads(q, self.n_heads), cos, sin)
        k = self.rotary(self._heads(k, self.n_kv_heads), cos, sin)
        v = self._heads(v, self.n_kv_heads)
        if isinstance(state, KeyValueState):
            k, v = state.append(k, v)
        mask = _mask(seq, start, documents, x.device)
        mixed = functional.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, is_causal=mask is None and seq > 1, enable_gqa=self.n_heads != self.n_kv_heads
        )
        result: Tensor = self.output(mixed.transpose(1, 2).reshape(batch, seq, -1))
        return result

    def _heads(self, x: Tensor, n_heads: int) -> Tensor:
        batch, seq, _ = x.shape
        return x.view(batch, seq, n_heads, self.head_dim).transpose(1, 2)

    def new_state(self, batch_size: int) -> SequenceState:
        """Empty keys and values."""
        return KeyValueState(batch_size, self.n_kv_heads, self.head_dim, self.max_seq_len)


def _mask(seq: int, start: int, documents: Tensor | None, device: torch.device) -> Tensor | None:
    """Which keys each query sees, bool; None where plain causal attention from position 0 (or a single query) is meant."""
    if documents is None and (start == 0 or seq == 1):
        return None
    rows = torch.arange(start, start + seq, device=device)
    causal = torch.arange(start + seq, device=device)[None, :] <= rows[:, None]
    if documents is None:
        return causal
    same = documents[:, :, None] == documents[:, None, :]
    return (causal[None] & same)[:, None]


def build_gqa(config: GqaConfig, *, place: Place) -> GroupedQueryAttention:
    """Factory of `gqa`."""
    return GroupedQueryAttention(config, place)
