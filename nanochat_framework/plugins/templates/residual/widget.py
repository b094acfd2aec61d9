"""A learned strength for each sub-layer's output (after ReZero, Bachlechner et al. 2020, arXiv 2003.04887)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from nanochat_framework.contracts.residual import Residual
from nanochat_framework.model import roles
from nanochat_framework.model.describe import Place

from .config import WidgetConfig


class WidgetResidual(Residual):
    """The state is the stream itself, (batch, seq, dim). Blocks never see it: the model reads and writes around them."""

    def __init__(self, config: WidgetConfig, place: Place) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.full((2 * place.n_layers,), config.initial_strength))
        self.parameter_roles = {"strength": roles.RESIDUAL}

    def open(self, x: Tensor) -> Tensor:
        """The embedding's output starts the stream."""
        return x

    def read(self, state: Any, sublayer: int) -> Tensor:
        """What a sub-layer sees, before its norm."""
        stream: Tensor = state
        return stream

    def write(self, state: Any, y: Tensor, sublayer: int) -> Tensor:
        """Add a sub-layer's output."""
        stream: Tensor = state + self.strength[sublayer].to(y.dtype) * y
        return stream

    def close(self, state: Any) -> Tensor:
        """What the last norm sees."""
        stream: Tensor = state
        return stream


def build(config: WidgetConfig, *, place: Place) -> WidgetResidual:
    """Factory of acme/widget."""
    return WidgetResidual(config, place)
