"""Contract of a sequence mixer: softmax attention, a recurrence, or anything causal between the two."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from nanochat_framework.model.documents import Documents
from nanochat_framework.model.state import SequenceState


class Attention(nn.Module, ABC):
    """Mixes positions causally. Factory: `build(config, *, place: Place)`.

    Laws: output at t depends on inputs up to t only; feeding a sequence in pieces through a state gives what feeding it
    whole gives; documents in one row give what each gives alone; every parameter receives a gradient.

    One whose configuration names its `value_heads` takes `added_values` in `forward` besides: (batch, seq, heads · channels)
    or None, to be added to the values of x before anything else is done with them.
    """

    @abstractmethod
    def forward(
        self,
        x: Tensor,
        positions: Tensor,
        *,
        state: SequenceState | None = None,
        documents: Documents | None = None,
    ) -> Tensor:
        """Mix.

        Args:
            x: (batch, seq, dim), normalised.
            positions: (seq,) int64, the positions of x; they continue after `state.length`. With documents (batch, seq):
                they start again at 0 in each. With a state whose rows differ in length (batch, seq): each row's own.
            state: what came before (made by `new_state`); it takes x in. Where its `padding` is not None, rows differ in
                length and none may see the places of a longer one that it does not have.
            documents: the documents in x. A position sees its own document only: attention masks the others, a
                recurrence drops its state where one starts. Not given with a state.

        Returns:
            (batch, seq, dim).
        """

    @abstractmethod
    def new_state(self, batch_size: int) -> SequenceState:
        """An empty decoding state for `batch_size` sequences."""
