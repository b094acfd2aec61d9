"""The plain residual stream (He et al. 2015, arXiv 1512.03385)."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from nanochat_framework.contracts.residual import Residual
from nanochat_framework.model.describe import Place
from nanochat_residual.config import AddConfig


class AddResidual(Residual):
    """The state is the stream itself, (batch, seq, dim)."""

    def open(self, x: Tensor) -> Tensor:
        """Start the stream."""
        return x

    def read(self, state: Any, sublayer: int) -> Tensor:
        """The stream."""
        stream: Tensor = state
        return stream

    def write(self, state: Any, y: Tensor, sublayer: int) -> Tensor:
        """Add a sub-layer's output."""
        stream: Tensor = state + y
        return stream

    def close(self, state: Any) -> Tensor:
        """The stream."""
        stream: Tensor = state
        return stream


def build_add(config: AddConfig, *, place: Place) -> AddResidual:
    """Factory of `add`."""
    return AddResidual()
