"""Contract of a residual stream: `add`, several mixed streams, looped and skip-to-input forms are one thing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn


class Residual(nn.Module, ABC):
    """How sub-layers read and write the stream. Factory: `build(config, *, place: Place)`.

    A model with n_layers blocks has 2 · n_layers sub-layers, numbered in order of execution; blocks never see the
    state, which may be one tensor or several. `streams` says how many hidden-state copies are alive, for the planner.
    """

    streams: int = 1

    @abstractmethod
    def open(self, x: Tensor) -> Any:
        """The state at the embedding's output: (batch, seq, dim) -> state."""

    @abstractmethod
    def read(self, state: Any, sublayer: int) -> Tensor:
        """Input of a sub-layer, before its norm: state -> (batch, seq, dim)."""

    @abstractmethod
    def write(self, state: Any, y: Tensor, sublayer: int) -> Any:
        """The state after a sub-layer's output y (batch, seq, dim)."""

    @abstractmethod
    def close(self, state: Any) -> Tensor:
        """Input of the last norm: state -> (batch, seq, dim)."""
