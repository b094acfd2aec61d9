"""The entropy of the predicted distribution: a measurement, and a confidence penalty (Pereyra et al. 2017, arXiv 1701.06548)."""

from __future__ import annotations

import torch
from torch import Tensor

from nanochat_framework.contracts.model import LanguageModel
from nanochat_framework.contracts.objective import HeadChunk, Objective
from nanochat_framework.data.loader import IGNORED_TARGET
from nanochat_objectives.config import EntropyConfig


class Entropy(Objective):
    """Mean of H = -Σ_v p_v log p_v in nats over the rows that have a target. A good model's H is near its loss."""

    def count(self, targets: Tensor) -> Tensor:
        """Positions that have a target: (batch, seq) -> () int64."""
        return (targets != IGNORED_TARGET).sum()

    def terms(self, chunk: HeadChunk, model: LanguageModel) -> Tensor:
        """Sum of H over the chunk's rows that have a target: () float32, without a graph where the weight is 0."""
        with torch.set_grad_enabled(self.weight != 0):
            log_p = torch.log_softmax(chunk.logits, dim=-1)
            entropy = -(log_p.exp() * log_p).sum(dim=-1)
            return entropy.masked_fill(chunk.targets == IGNORED_TARGET, 0.0).sum()


def build_entropy(config: EntropyConfig, *, model: LanguageModel) -> Entropy:
    """Factory of `entropy`."""
    return Entropy(config.weight)
