"""Contract of a sequence mixer: softmax attention, a recurrence, or anything causal between the two."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from nanochat_framework.model.state import SequenceState


class Attention(nn.Module, ABC):
    """Mixes positions causally. Factory: `build(config, *, place: Place)`.

    Laws: output at t depends on inputs up to t only; feeding a sequence in pieces through a state gives what feeding it
    whole gives; every parameter receives a gradient.
    """

    @abstractmethod
    def forward(
        self,
        x: Tensor,
        positions: Tensor,
        *,
        state: SequenceState | None = None,
        documents: Tensor | None = None,
    ) -> Tensor:
        """Mix.

        Args:
            x: (batch, seq, dim), normalised.
            positions: (seq,) int64, the absolute positions of x; they continue after `state.length`.
            state: what came before (made by `new_state`); it takes x in.
            documents: (batch, seq) document numbers; positions see only their own document. Not given with a state.

        Returns:
            (batch, seq, dim).
        """

    @abstractmethod
    def new_state(self, batch_size: int) -> SequenceState:
        """An empty decoding state for `batch_size` sequences."""
