"""The auxiliary loss on the softmax's normaliser (Chowdhery et al. 2022, PaLM, arXiv 2204.02311, section 5)."""

from __future__ import annotations

import torch
from torch import Tensor

from nanochat_framework.contracts.model import LanguageModel
from nanochat_framework.contracts.objective import HeadChunk, Objective
from nanochat_framework.data.loader import IGNORED_TARGET
from nanochat_objectives.config import ZLossConfig


class ZLoss(Objective):
    """Mean of (log Z)² over the rows that have a target, Z = Σ exp(logits)."""

    def count(self, targets: Tensor) -> Tensor:
        """Positions that have a target: (batch, seq) -> () int64."""
        return (targets != IGNORED_TARGET).sum()

    def terms(self, chunk: HeadChunk, model: LanguageModel) -> Tensor:
        """Sum of (log Z)² over the chunk's rows that have a target: () float32."""
        squares = torch.logsumexp(chunk.logits, dim=-1).square()
        return squares.masked_fill(chunk.targets == IGNORED_TARGET, 0.0).sum()


def build_z_loss(config: ZLossConfig, *, model: LanguageModel) -> ZLoss:
    """Factory of `z_loss`."""
    return ZLoss(config.weight)
