"""The neural n-gram model (Bengio et al. 2003, JMLR 3, 1137-1155), with a residual around its hidden layer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from nanochat_framework.contracts.model import LanguageModel
from nanochat_framework.model import roles
from nanochat_framework.model.documents import Documents
from nanochat_framework.model.embedding import TokenEmbedding
from nanochat_framework.model.linear import Linear
from nanochat_framework.model.state import RecurrentState, SequenceState

from .config import WidgetConfig


class WidgetNetwork(LanguageModel):
    """h_t = norm(e_t + tanh(W [e_t; e_{t-1}; ...; e_{t-n+1}])), where the sequence or the document begins zeros stand.

    What decoding must remember is the last n - 1 embeddings.
    """

    def __init__(self, config: WidgetConfig) -> None:
        super().__init__()
        self.vocab_size, self.max_seq_len = config.vocab_size, config.max_seq_len
        self.n_tokens, self.dim = config.n_tokens, config.dim
        self.embedding = TokenEmbedding(config.vocab_size, config.dim)
        self.context = Linear(config.n_tokens * config.dim, config.dim)
        self.head = Linear(config.dim, config.vocab_size, role=roles.HEAD)

    def hidden(
        self,
        tokens: Tensor,
        *,
        states: Sequence[SequenceState] | None = None,
        documents: Documents | None = None,
    ) -> Tensor:
        """(batch, seq) -> (batch, seq, dim); states continue what they have seen."""
        embedded = self.embedding(tokens)
        state = states[0] if states else None
        # The layer is run through `run_layer`, so that training can wrap it (activation checkpointing).
        mixed: Tensor = self.run_layer(self._layer, 0, embedded, self._before(embedded, state), documents)
        return functional.rms_norm(mixed, (self.dim,), eps=1e-6)

    def _before(self, embedded: Tensor, state: SequenceState | None) -> Tensor:
        """The n - 1 embeddings before these; the state, if there is one, takes these in."""
        before = embedded.new_zeros(embedded.shape[0], self.n_tokens - 1, self.dim)
        if isinstance(state, RecurrentState):
            if state.tensors:
                (before,) = state.tensors
            joined = torch.cat((before, embedded), dim=1)
            state.append(joined[:, joined.shape[1] - self.n_tokens + 1 :])
            state.advance(embedded.shape[1])
        return before

    def _layer(self, number: int, embedded: Tensor, before: Tensor, documents: Documents | None) -> Tensor:
        joined = torch.cat((before, embedded), dim=1)
        windows = joined.unfold(1, self.n_tokens, 1).flip(-1).transpose(2, 3)  # (batch, seq, n, dim), newest first
        if documents is not None:
            ages = torch.arange(self.n_tokens, device=embedded.device)
            windows = windows * (ages <= documents.positions.unsqueeze(-1)).unsqueeze(-1)
        hidden: Tensor = embedded + self.context(windows.flatten(2)).tanh()
        return hidden

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., dim) -> (..., vocab_size), float32."""
        scores: Tensor = self.head(hidden)
        return scores.float()

    def head_parameters(self) -> list[nn.Parameter]:
        """What `logits` reads."""
        return [self.head.weight]

    def new_states(self, batch_size: int) -> list[SequenceState]:
        """One, empty."""
        return [RecurrentState()]


def build(config: WidgetConfig) -> WidgetNetwork:
    """Factory of acme/widget."""
    return WidgetNetwork(config)
