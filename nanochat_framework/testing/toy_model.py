"""The smallest language model: for laws of what works with any model (objectives, evaluations)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nanochat_framework.contracts.model import LanguageModel
from nanochat_framework.model import roles
from nanochat_framework.model.documents import Documents
from nanochat_framework.model.embedding import TokenEmbedding
from nanochat_framework.model.linear import Linear
from nanochat_framework.model.state import RecurrentState, SequenceState

DIM, MAX_SEQ_LEN = 16, 64


class ToyModel(LanguageModel):
    """Sees its present token alone: embedding, a map, head."""

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.vocab_size, self.max_seq_len = vocab_size, MAX_SEQ_LEN
        self.embedding = TokenEmbedding(vocab_size, DIM, std=1.0)
        self.map = Linear(DIM, DIM)
        self.head = Linear(DIM, vocab_size, role=roles.HEAD, init_scale=3.0)  # some tokens are sure, some are not

    def hidden(
        self, tokens: Tensor, *, states: Sequence[SequenceState] | None = None, documents: Documents | None = None
    ) -> Tensor:
        """(batch, seq) -> (batch, seq, dim)."""
        stream = self.run_layer(lambda number, x: torch.tanh(self.map(x)), 0, self.embedding(tokens))
        for state in states or ():
            assert isinstance(state, RecurrentState)
            state.append(stream[:, -1])
            state.advance(tokens.shape[1])
        hidden: Tensor = stream
        return hidden

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., dim) -> (..., vocab_size), float32."""
        scores: Tensor = self.head(hidden)
        return scores.float()

    def head_parameters(self) -> list[nn.Parameter]:
        """The head's weight."""
        return [self.head.weight]

    def new_states(self, batch_size: int) -> list[SequenceState]:
        """One, of its one layer."""
        return [RecurrentState()]


def toy_model(vocab_size: int) -> ToyModel:
    """With the same weights for one size."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return ToyModel(vocab_size)
