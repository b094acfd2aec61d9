"""A decoder whose middle blocks are run several times over (Ouro's LoopLM, Zhu et al. 2025, arXiv 2510.25741).

The weights are stored once; keys, values and other states of a sequence are another one in each iteration. All iterations
are always run. While somebody records, each says how much it changed and what leaving after it would have given.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from nanochat_framework.data.loader import IGNORED_TARGET
from nanochat_framework.model.auxiliary import collecting
from nanochat_framework.model.diagnostics import record, recording
from nanochat_framework.model.documents import Documents
from nanochat_framework.model.state import SequenceState
from nanochat_framework.model.step_counts import counting
from nanochat_models.config import LoopedConfig
from nanochat_models.decoder import Decoder

EXIT_POSITIONS = 256
"""Positions of a micro-batch at most that an early exit is judged by."""


class LoopedDecoder(Decoder):
    """Blocks before, shared blocks `n_iterations` times, blocks after; see `Decoder` and `contracts.model`.

    Readings, by iteration from 0: `loop_change.<i>`, the norm of what the iteration added over that of its result, and
    `exit_loss.<i>`, nats per token on some of the micro-batch's own next tokens if only the blocks after followed it.
    """

    def __init__(self, config: LoopedConfig) -> None:
        super().__init__(config)
        self.n_iterations, self.n_shared = config.n_iterations, config.n_layers_shared
        self.n_before, self.n_after = config.n_layers_before, config.n_layers_after

    def hidden(
        self,
        tokens: Tensor,
        *,
        states: Sequence[SequenceState] | None = None,
        documents: Documents | None = None,
    ) -> Tensor:
        """Hidden states after the last norm: (batch, seq) -> (batch, seq, dim)."""
        positions = self._positions(tokens, states, documents)
        stream = self._through(range(self.n_before), self._opened(tokens), tokens, positions, states, documents)
        for iteration in range(self.n_iterations):
            start, before = self.n_before + iteration * self.n_shared, stream
            stream = self._through(range(start, start + self.n_shared), stream, tokens, positions, states, documents)
            record(f"loop_change.{iteration}", partial(self._change, before, stream))
            if states is None and tokens.shape[1] > 1:
                record(f"exit_loss.{iteration}", partial(self._exit_loss, tokens, stream, positions, documents))
        return self._closed(self._through(self._last_numbers, stream, tokens, positions, states, documents))

    @property
    def _last_numbers(self) -> range:
        return range(len(self.order) - self.n_after, len(self.order))

    def _change(self, before: Any, after: Any) -> Tensor:
        """|after - before| / |after| of the stream that the last norm would read: () float32."""
        first, second = self.residual.close(before).float(), self.residual.close(after).float()
        change: Tensor = (second - first).norm() / second.norm().clamp_min(1e-12)
        return change

    def _exit_loss(self, tokens: Tensor, stream: Any, positions: Tensor, documents: Documents | None) -> Tensor:
        """Mean cross-entropy () float32 of leaving the loop here; what the layers record meanwhile is dropped."""
        with recording(), collecting(), counting():
            for number in self._last_numbers:
                stream = self._layer(number, stream, tokens, positions, None, documents)
        targets = tokens[:, 1:]
        if documents is not None:
            targets = targets.masked_fill(documents.starts[:, 1:], IGNORED_TARGET)
        targets = targets.flatten()
        stride = -(-len(targets) // EXIT_POSITIONS)
        logits = self.logits(self._closed(stream)[:, :-1].flatten(0, 1)[::stride])
        chosen = targets[::stride]
        losses = functional.cross_entropy(logits, chosen, reduction="sum", ignore_index=IGNORED_TARGET)
        return losses / torch.clamp((chosen != IGNORED_TARGET).sum(), min=1)
