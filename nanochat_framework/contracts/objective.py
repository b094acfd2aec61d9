"""Contract of further terms of the loss. Plain cross-entropy is always there and belongs to the core.

Terms are computed in the same chunked pass over the head as cross-entropy (`training.head_loss`): the logits of a chunk
exist once, every term reads them, and their gradients leave before the next chunk's logits are made.

::

    class LargestLogit(Objective):
        def __init__(self, config: NoSettings, *, model: LanguageModel) -> None:
            super().__init__(weight=1e-3)

        def count(self, targets):
            return (targets != IGNORED_TARGET).sum()

        def terms(self, chunk, model):
            largest = chunk.logits.amax(dim=-1).square()
            return largest.masked_fill(chunk.targets == IGNORED_TARGET, 0.0).sum()

A token filter, for `[token_filter]`::

    class Unsure(TokenFilter):
        def __init__(self, config: NoSettings) -> None:
            self.threshold = 0.5  # nats

        def keep(self, losses):
            return losses > self.threshold
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nanochat_framework.contracts.model import LanguageModel
from nanochat_framework.data.loader import Batch
from nanochat_framework.data.tokenizer import Tokenizer
from nanochat_framework.plugins.registry import Registry


@dataclass(frozen=True)
class HeadChunk:
    """Some rows of a micro-batch at the head.

    Rows are positions of the flattened (batch · seq) micro-batch. `targets` is -100 where nothing is predicted; those
    rows count for no term. `all_targets` (batch, seq) is the whole micro-batch's, for terms that look further ahead
    (multi-token prediction): row r stands at `all_targets.flatten()[first_row + r]`.
    """

    hidden: Tensor
    """(rows, dim), requires gradient."""
    logits: Tensor
    """(rows, vocab_size), float32."""
    targets: Tensor
    """(rows,) int64."""
    first_row: int
    all_targets: Tensor


class Objective(nn.Module, ABC):
    """A term of the loss. Factory: `build(config, *, model: LanguageModel)`; it may own parameters.

    The step's loss gets `weight · Σ terms / Σ counts`, both sums over all micro-batches and devices of the step, so that
    n micro-batches equal one large batch. The unweighted mean is logged as `train/<name>`.

    For the memory plan its configuration may have a number `kept_logits`: how many tensors of the size of a chunk of logits
    `terms` keeps for its backward pass, besides the logits themselves and those of cross-entropy;
    and `reads_model`, the path of another model that it keeps in memory, of which the plan says that it does not count it.
    """

    weight: float

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def prepare(self, registry: Registry, tokenizer: Tokenizer | None, precision: str, device: torch.device) -> None:
        """Called once before training, resumed training too; a term that reads another model does it here.

        `tokenizer` is the data's, None where there is none; `precision` is `train.precision`. Raises UsageError where what
        is read does not fit. Planning builds the objective and never calls this.
        """
        return

    def begin(self, batch: Batch) -> None:
        """Called with each micro-batch of training before its forward pass."""
        return

    @abstractmethod
    def count(self, targets: Tensor) -> Tensor:
        """How many terms a micro-batch has, from its targets (batch, seq) alone: () int64."""

    @abstractmethod
    def terms(self, chunk: HeadChunk, model: LanguageModel) -> Tensor:
        """Sum of the terms of a chunk: () float32, differentiable."""


class TokenFilter(ABC):
    """Chooses the tokens that are learned from. Factory: `build(config)`.

    A dropped token passes no gradient, neither of cross-entropy nor of any further term; `train/loss` counts it as before.
    Each token is judged by itself, so that neither chunks nor micro-batches nor devices change what is kept.
    """

    @abstractmethod
    def keep(self, losses: Tensor) -> Tensor:
        """(rows,) cross-entropies in nats, float32, without gradient -> (rows,) bool: True where the token counts."""
