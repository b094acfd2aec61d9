"""Attention-free transformer, the simple form (Zhai et al. 2021, arXiv 2105.14103, equation 4).

    y_t = output(σ(q_t) · Σ_{s ≤ t} exp(k_s) v_s / Σ_{s ≤ t} exp(k_s)),    channel by channel

Two running sums are all that is remembered, however long the text: the time is linear in it, and decoding takes constant
memory. The paper's keys are unbounded; here they pass c · tanh(k / c), so that the sums stay within float32.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nanochat_framework.contracts.attention import Attention
from nanochat_framework.model.describe import Place
from nanochat_framework.model.documents import Documents
from nanochat_framework.model.linear import Linear, linear_together
from nanochat_framework.model.state import RecurrentState, SequenceState

from .config import AftConfig


class AttentionFree(Attention):
    """The mixer. `Linear` is the framework's: it brings precision, quantizers and roles."""

    def __init__(self, config: AftConfig, place: Place) -> None:
        super().__init__()
        self.key_limit = config.key_limit
        self.query = Linear(place.dim, config.inner_dim)
        self.key = Linear(place.dim, config.inner_dim)
        self.value = Linear(place.dim, config.inner_dim)
        # The usual start of a map that writes to the residual stream: smaller the deeper the model.
        self.output = Linear(config.inner_dim, place.dim, init_scale=(2 * place.n_layers) ** -0.5)

    def forward(
        self,
        x: Tensor,
        positions: Tensor,
        *,
        state: SequenceState | None = None,
        documents: Documents | None = None,
    ) -> Tensor:
        """(batch, seq, dim) -> (batch, seq, dim). Positions are not needed: a sum knows no order."""
        query, key, value = linear_together(x, [self.query, self.key, self.value])
        # Sums of thousands of numbers are made in float32, whatever the activations are in.
        weights = (self.key_limit * torch.tanh(key.float() / self.key_limit)).exp()
        both = torch.stack((weights * value.float(), weights), dim=-1)  # (batch, seq, inner, 2)
        sums = both.cumsum(dim=1) if documents is None else _sums_within(both, documents)
        if isinstance(state, RecurrentState):  # decoding: go on from what came before, and remember the new sums
            if state.tensors:
                sums = sums + state.tensors[0].unsqueeze(1)
            state.append(sums[:, -1])
            state.advance(x.shape[1])
        means = sums[..., 0] / sums[..., 1]
        mixed: Tensor = self.output(torch.sigmoid(query) * means.to(x.dtype))
        return mixed

    def new_state(self, batch_size: int) -> SequenceState:
        """Nothing yet. `RecurrentState` knows how to be copied, joined and restored; a mixer only says what is in it."""
        return RecurrentState()


def _sums_within(both: Tensor, documents: Documents) -> Tensor:
    """Running sums that start anew with each document: one document at a time, none of which reaches over a row's end.

    Taking the sum before a document away from the sum of all would lose its digits to those of longer ones.
    """
    rows = both.flatten(0, 1)
    pieces = torch.split(rows, documents.lengths)
    return torch.cat([piece.cumsum(dim=0) for piece in pieces]).view_as(both)


def build_aft(config: AftConfig, *, place: Place) -> AttentionFree:
    """Factory: `place` says where in the model the part stands, and how wide the model is."""
    return AttentionFree(config, place)
