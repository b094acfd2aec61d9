"""Two mixed streams: each sub-layer reads a learned mixture and writes to both with its own strengths."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from nanochat_framework.contracts.residual import Residual
from nanochat_framework.model import roles
from nanochat_framework.model.describe import Place
from tests.probes.config import TwoStreamsConfig


class TwoStreams(Residual):
    """State: (2, batch, seq, dim). The starts differ between streams: a symmetric start would keep them equal for ever."""

    streams = 2

    def __init__(self, place: Place) -> None:
        super().__init__()
        n = 2 * place.n_layers
        self.read_weight = nn.Parameter(torch.tensor([0.6, 0.4]).repeat(n, 1))
        self.write_weight = nn.Parameter(torch.tensor([1.0, 0.5]).repeat(n, 1))
        self.mix = nn.Parameter(torch.full((n,), 2.0))
        self.parameter_roles = dict.fromkeys(("read_weight", "write_weight", "mix"), roles.RESIDUAL)

    def open(self, x: Tensor) -> Tensor:
        """Both streams start as the embedding."""
        return torch.stack((x, x))

    def read(self, state: Any, sublayer: int) -> Tensor:
        """A weighted sum."""
        return torch.einsum("n,nbtd->btd", self.read_weight[sublayer].to(state.dtype), state)

    def write(self, state: Any, y: Tensor, sublayer: int) -> Tensor:
        """Mix the streams by [[a, 1-a], [1-a, a]], then add with each stream's strength."""
        keep = torch.sigmoid(self.mix[sublayer]).to(state.dtype)
        mixed = keep * state + (1 - keep) * state.flip(0)
        strength = self.write_weight[sublayer].to(state.dtype)
        return mixed + strength[:, None, None, None] * y

    def close(self, state: Any) -> Tensor:
        """The first stream and half of the second."""
        result: Tensor = state[0] + 0.5 * state[1]
        return result


def build_two_streams(config: TwoStreamsConfig, *, place: Place) -> TwoStreams:
    """Factory."""
    return TwoStreams(place)
