"""A gated linear recurrence: s_t = a_t s_{t-1} + (1 - a_t) v_t, output o(s_t · q_t)."""

from __future__ import annotations

import torch
from torch import Tensor

from nanochat_framework.contracts.attention import Attention
from nanochat_framework.model import roles
from nanochat_framework.model.describe import Place
from nanochat_framework.model.documents import Documents
from nanochat_framework.model.linear import Linear
from nanochat_framework.model.state import RecurrentState, SequenceState
from tests.probes.config import RecurrentConfig


class Recurrent(Attention):
    """The recurrence, a position at a time."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.value, self.query = Linear(place.dim, place.dim), Linear(place.dim, place.dim)
        self.decay = Linear(place.dim, place.dim, role=roles.GATE)
        self.output = Linear(place.dim, place.dim)

    def forward(
        self,
        x: Tensor,
        positions: Tensor,
        *,
        state: SequenceState | None = None,
        documents: Documents | None = None,
    ) -> Tensor:
        """(batch, seq, dim) -> (batch, seq, dim); the state starts again at each document."""
        memory = x.new_zeros(x.shape[0], x.shape[2])
        if isinstance(state, RecurrentState) and state.tensors:
            (memory,) = state.tensors
        decay, value, query = torch.sigmoid(self.decay(x)), self.value(x), self.query(x)
        outputs = []
        for t in range(x.shape[1]):
            if documents is not None:
                memory = memory * ~documents.starts[:, t, None]
            memory = decay[:, t] * memory + (1 - decay[:, t]) * value[:, t]
            outputs.append(memory * query[:, t])
        if isinstance(state, RecurrentState):
            state.append(memory)
            state.advance(x.shape[1])
        mixed: Tensor = self.output(torch.stack(outputs, dim=1))
        return mixed

    def new_state(self, batch_size: int) -> SequenceState:
        """An empty memory."""
        return RecurrentState()


def build_recurrent(config: RecurrentConfig, *, place: Place) -> Recurrent:
    """Factory."""
    return Recurrent(place)
