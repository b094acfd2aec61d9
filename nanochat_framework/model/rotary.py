"""Rotary position embedding (Su et al. 2021, arXiv 2104.09864), pairs half a head apart ("rotate half")."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class RotaryEmbedding(nn.Module):
    """Turns pairs (i, i + head_dim/2) of a head by position · theta^(-2i/head_dim). Holds no parameters.

    Of a wider head the first `head_dim` channels are turned, the others stay as they are (Qwen3.5's partial rotation).
    Tables are float32, made for max_seq_len positions at first use and grown on demand.
    """

    def __init__(self, head_dim: int, theta: float, max_seq_len: int) -> None:
        super().__init__()
        self.head_dim, self.theta, self.max_seq_len = head_dim, theta, max_seq_len
        self._cos: Tensor | None = None
        self._sin: Tensor | None = None

    def tables(self, positions: Tensor, end: int) -> tuple[Tensor, Tensor]:
        """cos and sin, each (seq, head_dim/2) float32, of positions (seq,) int64, all below `end`.

        For positions (batch, seq) each is (batch, 1, seq, head_dim/2): the axis of heads is there.
        """
        if self._cos is None or self._sin is None or self._cos.shape[0] < end or self._cos.device != positions.device:
            rows = max(end, self.max_seq_len)
            exponent = torch.arange(0, self.head_dim, 2, dtype=torch.float64, device="cpu") / self.head_dim
            angles = torch.outer(torch.arange(rows, dtype=torch.float64), self.theta**-exponent)
            self._cos = angles.cos().to(positions.device, torch.float32)
            self._sin = angles.sin().to(positions.device, torch.float32)
        places = positions if positions.dim() == 1 else positions[:, None]
        return self._cos[places], self._sin[places]

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Rotate x (batch, heads, seq, head_dim or more); computed in float32, returned in x's dtype."""
        first, second = x[..., : self.head_dim].float().chunk(2, dim=-1)
        turned = torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1).to(x.dtype)
        return turned if x.shape[-1] == self.head_dim else torch.cat((turned, x[..., self.head_dim :]), dim=-1)
