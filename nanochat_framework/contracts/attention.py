"""Contract of a sequence mixer: softmax attention, a recurrence, or anything causal between the two.

::

    class DecayingMean(Attention):
        def __init__(self, config: NoSettings, *, place: Place) -> None:
            super().__init__()
            self.output = Linear(place.dim, place.dim)

        def forward(self, x, positions, *, state=None, documents=None):
            memory = state.tensors[0] if state and state.tensors else torch.zeros_like(x[:, 0])
            mixed = []
            for t in range(x.shape[1]):
                if documents is not None:
                    memory = memory * ~documents.starts[:, t, None]  # a document begins with nothing
                memory = (memory + x[:, t]) / 2
                mixed.append(memory)
            if state is not None:
                state.append(memory)
                state.advance(x.shape[1])
            return self.output(torch.stack(mixed, dim=1))

        def new_state(self, batch_size):
            return RecurrentState()
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from nanochat_framework.model.documents import Documents
from nanochat_framework.model.state import SequenceState


class Attention(nn.Module, ABC):
    """Mixes positions causally. Factory: `build(config, *, place: Place)`.

    A model builds one for each block: `place` has the width `dim` of the stream in channels, the block's number `layer`,
    `n_layers`, and `max_seq_len` in tokens. Linear maps are `model.linear.Linear`, so that quantizers find them; other
    parameters have their roles named in `parameter_roles`. The configuration is a `PartConfig` whose `describe(place)`
    says what the mixer computes with which tensors; without it the mixer trains and generates, and cannot be exported.

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
            x: (batch, seq, dim) in the compute dtype (float32, bfloat16 or float16), normalised.
            positions: (seq,) int64, the positions of x; they continue after `state.length`. With documents (batch, seq):
                they start again at 0 in each. With a state whose rows differ in length (batch, seq): each row's own.
            state: what came before (made by `new_state`); it takes x in. Where its `padding` is not None, rows differ in
                length and none may see the places of a longer one that it does not have.
            documents: the documents in x. A position sees its own document only: attention masks the others, a
                recurrence drops its state where one starts. Not given with a state.

        Returns:
            (batch, seq, dim), dtype of x.
        """

    @abstractmethod
    def new_state(self, batch_size: int) -> SequenceState:
        """An empty decoding state for `batch_size` sequences, called once for each batch that is generated.

        `model.state` has two that do for most: `KeyValueState` for attention, `RecurrentState` for recurrences.
        """
