"""Grouped-query attention (Ainslie et al. 2023, arXiv 2305.13245) with rotary positions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from nanochat_attention.config import GqaConfig
from nanochat_attention.within_documents import attend_within
from nanochat_framework.contracts.attention import Attention
from nanochat_framework.model.describe import Place
from nanochat_framework.model.documents import Documents
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
        documents: Documents | None = None,
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
        mixed = _attend(q, k, v, start) if documents is None else attend_within(q, k, v, documents)
        result: Tensor = self.output(mixed.transpose(1, 2).reshape(batch, seq, -1))
        return result

    def _heads(self, x: Tensor, n_heads: int) -> Tensor:
        batch, seq, _ = x.shape
        return x.view(batch, seq, n_heads, self.head_dim).transpose(1, 2)

    def new_state(self, batch_size: int) -> SequenceState:
        """Empty keys and values."""
        return KeyValueState(batch_size, self.n_kv_heads, self.head_dim, self.max_seq_len)


def _attend(q: Tensor, k: Tensor, v: Tensor, start: int) -> Tensor:
    """Causal attention of queries (batch, n_heads, seq, head_dim) that stand at `start` and after."""
    seq, mask = q.shape[2], None
    if start > 0 and seq > 1:
        rows = torch.arange(start, start + seq, device=q.device)
        mask = torch.arange(start + seq, device=q.device)[None, :] <= rows[:, None]
    return functional.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=mask is None and seq > 1, enable_gqa=q.shape[1] != k.shape[1]
    )


def build_gqa(config: GqaConfig, *, place: Place) -> GroupedQueryAttention:
    """Factory of `gqa`."""
    return GroupedQueryAttention(config, place)
