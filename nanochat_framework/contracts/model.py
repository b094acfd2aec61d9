"""Contract of a model: hidden states, logits, and the states it decodes with.

The smallest one that keeps it is `testing.toy_model.ToyModel`, in sixty lines.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nanochat_framework.model.documents import Documents
from nanochat_framework.model.state import SequenceState


def call_layer(layer: Callable[..., Any], number: int, *inputs: Any) -> Any:
    """Run a layer as it is."""
    return layer(number, *inputs)


class LanguageModel(nn.Module, ABC):
    """A causal language model. Single-device code: precision, parallelism and quantisation are applied from outside.

    Factory: `build(config)`; the configuration is a `ModelConfig`, whose `describe()` says what the model is made of. Weights are
    initialised in float32 from torch's global generator, which is seeded before. Modules that start a stream of activations
    have `compute_dtype`, which is set from outside.

    `hidden` runs each layer as `self.run_layer(layer, number, *inputs)`, numbered from 0 on, so that training can wrap
    layers (activation checkpointing, token filters): a layer is a function of its number and inputs, and running it
    again gives the same.

    Every parameter is created by a module that names its role in `parameter_roles` (see `model.parameters`), and every
    linear map is a `model.linear.Linear`, so that optimizers and quantizers find it.
    """

    vocab_size: int
    max_seq_len: int
    run_layer: Callable[..., Any] = staticmethod(call_layer)

    @abstractmethod
    def hidden(
        self,
        tokens: Tensor,
        *,
        states: Sequence[SequenceState] | None = None,
        documents: Documents | None = None,
    ) -> Tensor:
        """Hidden states after the last norm.

        Args:
            tokens: (batch, seq) int64 ids.
            states: one state a layer; the tokens continue what the states have seen, each row its own (their
                positions are `model.state.positions_after`), and the states take them in.
            documents: the documents in each row; positions see only their own. None: one document. Not with states.

        Returns:
            (batch, seq, dim) in the compute dtype.
        """

    @abstractmethod
    def logits(self, hidden: Tensor) -> Tensor:
        """Scores of the next token: (..., dim) -> (..., vocab_size), float32."""

    @abstractmethod
    def head_parameters(self) -> list[nn.Parameter]:
        """The parameters that `logits` reads (the chunked loss differentiates with respect to these)."""

    @abstractmethod
    def new_states(self, batch_size: int) -> list[SequenceState]:
        """Empty decoding states, one a layer, for `batch_size` sequences."""

    def forward(self, tokens: Tensor, **context: object) -> Tensor:
        """Logits of every position: (batch, seq) -> (batch, seq, vocab_size), float32."""
        return self.logits(self.hidden(tokens, **context))  # type: ignore[arg-type]

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device
