"""Label smoothing (Szegedy et al. 2015, arXiv 1512.00567, section 7), reported apart from the loss."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from nanochat_framework.contracts.model import LanguageModel
from nanochat_framework.contracts.objective import HeadChunk, Objective
from nanochat_framework.data.loader import IGNORED_TARGET
from nanochat_objectives.config import LabelSmoothingConfig


class LabelSmoothing(Objective):
    """What smoothing adds to cross-entropy, so that `train/loss` stays plain.

    With ε the weight, (1 - ε) · CE + ε · U = CE + ε · (U - CE), where U = -1/V · Σ_v log p_v. The term is U - CE; added
    to cross-entropy with weight ε the sum is torch's `cross_entropy(label_smoothing=ε)`.
    """

    def count(self, targets: Tensor) -> Tensor:
        """Positions that have a target: (batch, seq) -> () int64."""
        return (targets != IGNORED_TARGET).sum()

    def terms(self, chunk: HeadChunk, model: LanguageModel) -> Tensor:
        """Sum of (U - CE) over the chunk's rows that have a target: () float32."""
        log_normaliser = torch.logsumexp(chunk.logits, dim=-1)
        uniform = log_normaliser - chunk.logits.mean(dim=-1)
        cross_entropy = functional.cross_entropy(
            chunk.logits, chunk.targets, reduction="none", ignore_index=IGNORED_TARGET
        )
        return (uniform - cross_entropy).masked_fill(chunk.targets == IGNORED_TARGET, 0.0).sum()


def build_label_smoothing(config: LabelSmoothingConfig, *, model: LanguageModel) -> LabelSmoothing:
    """Factory of `label_smoothing`."""
    return LabelSmoothing(config.weight)
