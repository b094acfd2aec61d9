"""An objective with parameters of its own that looks one token further ahead, as multi-token prediction will."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from nanochat_framework.contracts.model import LanguageModel
from nanochat_framework.contracts.objective import HeadChunk, Objective
from nanochat_framework.model import roles
from nanochat_framework.model.linear import Linear
from tests.probes.config import TwoAheadConfig

IGNORED = -100


class TwoAhead(Objective):
    """Predicts the target after next through a map of its own and the model's head."""

    def __init__(self, weight: float, dim: int) -> None:
        super().__init__(weight)
        self.map = Linear(dim, dim, role=roles.MTP_HEAD)

    def _ahead(self, targets: Tensor) -> Tensor:
        return functional.pad(targets[:, 1:], (0, 1), value=IGNORED)

    def count(self, targets: Tensor) -> Tensor:
        """Positions that have a target after next."""
        return (self._ahead(targets) != IGNORED).sum()

    def terms(self, chunk: HeadChunk, model: LanguageModel) -> Tensor:
        """Cross-entropy of that target."""
        rows = slice(chunk.first_row, chunk.first_row + len(chunk.targets))
        targets = self._ahead(chunk.all_targets).flatten()[rows]
        logits = model.logits(self.map(chunk.hidden))
        return functional.cross_entropy(logits, targets, reduction="sum", ignore_index=IGNORED)


def build_two_ahead(config: TwoAheadConfig, *, model: LanguageModel) -> TwoAhead:
    """Factory."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return TwoAhead(config.weight, next(iter(model.head_parameters())).shape[1])
