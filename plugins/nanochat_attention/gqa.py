"""Grouped-query attention (Ainslie et al. 2023, arXiv 2305.13245) with rotary positions."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from nanochat_attention.config import GqaConfig
from nanochat_attention.within_documents import attend_within
from nanochat_framework.contracts.attention import Attention
from nanochat_framework.kernels.table import active
from nanochat_framework.model import roles
from nanochat_framework.model.describe import Place
from nanochat_framework.model.documents import Documents
from nanochat_framework.model.linear import Linear, linear_together
from nanochat_framework.model.rotary import RotaryEmbedding
from nanochat_framework.model.state import KeyValueState, SequenceState


class GroupedQueryAttention(Attention):
    """softmax(q kᵀ / sqrt(head_dim)) v, causal; query head h reads key/value head h // (n_heads / n_kv_heads).

    Options: heads normalised before they are rotated (`qk_norm`), a sigmoid gate on the result (`output_gate`), and a
    sliding window. See `model.description.SoftmaxAttention`.
    """

    def __init__(self, config: GqaConfig, place: Place) -> None:
        super().__init__()
        self.n_heads, self.n_kv_heads, self.head_dim = config.n_heads, config.n_kv_heads, config.head_dim
        self.max_seq_len, self.window = place.max_seq_len, config.window
        inner, shared = config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim
        self.query = Linear(place.dim, inner, heads=config.n_heads)
        self.key = Linear(place.dim, shared, heads=config.n_kv_heads)
        self.value = Linear(place.dim, shared, heads=config.n_kv_heads)
        self.output = Linear(inner, place.dim, init_scale=(2 * place.n_layers) ** -0.5)
        self.rotary = RotaryEmbedding(config.turned, config.rope_theta, place.max_seq_len)
        self.gate = Linear(place.dim, inner, heads=config.n_heads) if config.output_gate else None
        self.kernels, self.qk_norm_eps = active(), config.qk_norm_eps
        gained = config.qk_norm and config.qk_norm_affine
        self.qk_norm = config.qk_norm
        self.query_norm = nn.Parameter(torch.ones(config.head_dim)) if gained else None
        self.key_norm = nn.Parameter(torch.ones(config.head_dim)) if gained else None
        self.parameter_roles = dict.fromkeys(("query_norm", "key_norm"), roles.NORM)

    def forward(
        self,
        x: Tensor,
        positions: Tensor,
        *,
        state: SequenceState | None = None,
        documents: Documents | None = None,
        added_values: Tensor | None = None,
    ) -> Tensor:
        """(batch, seq, dim) -> (batch, seq, dim)."""
        batch, seq, _ = x.shape
        start = state.length if state is not None else 0
        maps = (self.query, self.key, self.value, *([] if self.gate is None else [self.gate]))
        q, k, v, *gate = linear_together(x, maps)
        cos, sin = self.rotary.tables(positions, start + seq)
        q = self.rotary(self._normed(self._heads(q, self.n_heads), self.query_norm), cos, sin)
        k = self.rotary(self._normed(self._heads(k, self.n_kv_heads), self.key_norm), cos, sin)
        v = self._heads(v if added_values is None else v + added_values, self.n_kv_heads)
        if isinstance(state, KeyValueState):
            k, v = state.append(k, v)
        mixed = (
            _attend(q, k, v, start, self.window, None if state is None else state.padding)
            if documents is None
            else attend_within(q, k, v, documents, self.window)
        )
        mixed = mixed.transpose(1, 2).reshape(batch, seq, -1)
        result: Tensor = self.output(mixed * torch.sigmoid(gate[0]) if gate else mixed)
        return result

    def _normed(self, heads: Tensor, gain: Tensor | None) -> Tensor:
        """(batch, heads, seq, head_dim), normalised where that is asked for."""
        if not self.qk_norm:
            return heads
        normed: Tensor = self.kernels.choose("rms_norm", heads.device.type).call(heads, gain, self.qk_norm_eps)
        return normed

    def _heads(self, x: Tensor, n_heads: int) -> Tensor:
        batch, seq, _ = x.shape
        return x.view(batch, seq, n_heads, self.head_dim).transpose(1, 2)

    def new_state(self, batch_size: int) -> SequenceState:
        """Empty keys and values."""
        return KeyValueState(batch_size, self.n_kv_heads, self.head_dim, self.max_seq_len)


def _attend(q: Tensor, k: Tensor, v: Tensor, start: int, window: int | None, padding: Tensor | None) -> Tensor:
    """Causal attention of queries (batch, n_heads, seq, head_dim) that stand at `start` and after.

    `padding` (batch,) counts the places at the beginning of each row that hold nothing; None: none do.
    """
    seq, mask, first = q.shape[2], None, 0
    if window is not None and start + seq > window:
        first = max(0, start + 1 - window)  # no query sees a key before it
        k, v, start = k[:, :, first:], v[:, :, first:], start - first
        mask = _mask(seq, start, q.device, window) if seq > 1 else None
    elif seq > 1 and (start > 0 or padding is not None):
        mask = _mask(seq, start, q.device, None)
    if padding is not None:
        held = torch.arange(first, first + k.shape[2], device=q.device) >= padding[:, None, None, None]
        mask = held if mask is None else mask & held
    return functional.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=mask is None and seq > 1, enable_gqa=q.shape[1] != k.shape[1]
    )


def _mask(seq: int, start: int, device: torch.device, window: int | None) -> Tensor:
    """(seq, start + seq) bool: which keys each query sees."""
    ahead = torch.arange(start, start + seq, device=device)[:, None] - torch.arange(start + seq, device=device)
    return ahead >= 0 if window is None else (ahead >= 0) & (ahead < window)


def build_gqa(config: GqaConfig, *, place: Place) -> GroupedQueryAttention:
    """Factory of `gqa`."""
    return GroupedQueryAttention(config, place)
