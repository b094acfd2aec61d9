"""Contract of a residual stream: `add`, several mixed streams, looped and skip-to-input forms are one thing.

::

    class Gained(Residual):
        def __init__(self, config: NoSettings, *, place: Place) -> None:
            super().__init__()
            self.gain = nn.Parameter(torch.ones(2 * place.n_layers))
            self.parameter_roles = {"gain": roles.RESIDUAL}

        def open(self, x):
            return x

        def read(self, state, sublayer):
            return state

        def write(self, state, y, sublayer):
            return state + self.gain[sublayer].to(y.dtype) * y

        def close(self, state):
            return state
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn


class Residual(nn.Module, ABC):
    """How sub-layers read and write the stream. Factory: `build(config, *, place: Place)`.

    A model with n_layers blocks has 2 · n_layers sub-layers, numbered in order of execution; blocks never see the
    state, which may be one tensor or several. `streams` says how many hidden-state copies are alive, for the planner.
    In each forward pass `open` is called once, then `read` and `write` for every sub-layer in order, then `close`; all
    tensors are in the compute dtype. A model has one, built with the `place` of no block (`layer` is None); see
    `contracts.attention` for roles and `describe`.

    `write` returns a new state and changes nothing in place: activation checkpointing runs a layer again on what it read.
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
