"""The squared mean of the logits: softmax does not see it, so nothing else keeps it from drifting."""

from __future__ import annotations

from torch import Tensor

from nanochat_framework.contracts.model import LanguageModel
from nanochat_framework.contracts.objective import HeadChunk, Objective
from nanochat_framework.data.loader import IGNORED_TARGET

from .config import WidgetConfig


class WidgetObjective(Objective):
    """Mean over the tokens that have a target of (mean of their logits)². Cross-entropy is always there besides."""

    def count(self, targets: Tensor) -> Tensor:
        """How many terms there are: (batch, seq) -> () int64."""
        return (targets != IGNORED_TARGET).sum()

    def terms(self, chunk: HeadChunk, model: LanguageModel) -> Tensor:
        """Their sum over a chunk of rows: () float32, differentiable. Logits exist for one chunk at a time."""
        squares = chunk.logits.mean(dim=-1).square()
        return squares.masked_fill(chunk.targets == IGNORED_TARGET, 0.0).sum()


def build(config: WidgetConfig, *, model: LanguageModel) -> WidgetObjective:
    """Factory of acme/widget."""
    return WidgetObjective(config.weight)
