"""Causal mean pooling: the plainest way to know what came before."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from nanochat_framework.contracts.attention import Attention
from nanochat_framework.model.describe import Place
from nanochat_framework.model.documents import Documents
from nanochat_framework.model.linear import Linear, linear_together
from nanochat_framework.model.state import RecurrentState, SequenceState

from .config import WidgetConfig


class WidgetAttention(Attention):
    """output(silu(gate(x_t)) · mean of value(x_0 .. x_t)).

    All that is remembered of a sequence is the sum of its values; how many there were, the positions say.
    """

    def __init__(self, config: WidgetConfig, place: Place) -> None:
        super().__init__()
        self.value = Linear(place.dim, config.inner_dim)
        self.gate = Linear(place.dim, config.inner_dim)
        self.output = Linear(config.inner_dim, place.dim, init_scale=(2 * place.n_layers) ** -0.5)

    def forward(
        self,
        x: Tensor,
        positions: Tensor,
        *,
        state: SequenceState | None = None,
        documents: Documents | None = None,
    ) -> Tensor:
        """(batch, seq, dim) -> (batch, seq, dim); a position sees those before it, of its own document only."""
        value, gate = linear_together(x, [self.value, self.gate])
        sums = value.float().cumsum(dim=1)  # in float32: thousands of bfloat16 would not add up
        if documents is not None:
            sums = sums - _sums_before_documents(sums, documents)
        if isinstance(state, RecurrentState):
            if state.tensors:
                sums = sums + state.tensors[0][:, None]
            state.append(sums[:, -1])
            state.advance(x.shape[1])
        means = sums / (positions + 1).unsqueeze(-1)
        mixed: Tensor = self.output(functional.silu(gate) * means.to(x.dtype))
        return mixed

    def new_state(self, batch_size: int) -> SequenceState:
        """Nothing is remembered at first."""
        return RecurrentState()


def _sums_before_documents(sums: Tensor, documents: Documents) -> Tensor:
    """For each position the sum of all that came before its document: (batch, seq, inner_dim)."""
    places = torch.arange(sums.shape[1], device=sums.device)
    first = places - documents.positions  # where the document of each position starts
    before = functional.pad(sums, (0, 0, 1, 0))[:, :-1]
    return before.gather(1, first.unsqueeze(-1).expand_as(sums))


def build(config: WidgetConfig, *, place: Place) -> WidgetAttention:
    """Factory of acme/widget."""
    return WidgetAttention(config, place)
