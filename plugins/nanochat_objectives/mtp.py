"""Multi-token prediction (Gloeckle et al. 2024, arXiv 2404.19737): further heads predict further tokens.

The heads belong to the objective, not to the model: they are trained and kept in checkpoints, and a model that is
exported or generates leaves them behind.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from nanochat_framework.contracts.model import LanguageModel
from nanochat_framework.contracts.objective import HeadChunk, Objective
from nanochat_framework.data.loader import IGNORED_TARGET
from nanochat_framework.model import roles
from nanochat_framework.model.linear import Linear
from nanochat_objectives.config import MtpConfig

SMALLEST = 0.01
"""Least weight of a head."""


class MultiTokenPrediction(Objective):
    """Σ_i w_i · CE_i with w_i = max(decay^i, 0.01); head i (from 0) predicts the token i + 2 places ahead.

    Each CE_i is divided by the number of positions that have a next token: the few at a row's end that have no token that far
    ahead count as 0, and micro-batches add up.
    """

    def __init__(self, config: MtpConfig, dim: int, vocab_size: int) -> None:
        super().__init__(config.weight)
        n = config.n_future_tokens - 1
        self.tied = config.heads == "tied"
        self.shares = [max(config.decay**i, SMALLEST) for i in range(n)]
        scale = 0.1 if self.tied else 1.0  # tied heads start near the next token's, which is a good first guess
        rows = dim if self.tied else vocab_size
        self.heads = nn.ModuleList(Linear(dim, rows, role=roles.MTP_HEAD, init_scale=scale) for _ in range(n))

    def count(self, targets: Tensor) -> Tensor:
        """Positions that have a target: (batch, seq) -> () int64."""
        return (targets != IGNORED_TARGET).sum()

    def terms(self, chunk: HeadChunk, model: LanguageModel) -> Tensor:
        """Weighted sum over heads and the chunk's rows: () float32."""
        rows = slice(chunk.first_row, chunk.first_row + len(chunk.targets))
        total = torch.zeros((), device=chunk.hidden.device)
        for ahead, (share, head) in enumerate(zip(self.shares, self.heads, strict=True), start=1):
            targets = _ahead(chunk.all_targets, ahead).flatten()[rows]
            logits = model.logits(chunk.hidden + head(chunk.hidden)) if self.tied else head(chunk.hidden).float()
            loss = functional.cross_entropy(logits, targets, reduction="sum", ignore_index=IGNORED_TARGET)
            total = total + share * loss
        return total


def _ahead(targets: Tensor, places: int) -> Tensor:
    """(batch, seq) targets `places` further on; none beyond the end of a row, or of a document, where targets are ignored."""
    short = min(places, targets.shape[1])
    ignored = targets == IGNORED_TARGET
    ends = ignored.cumsum(dim=1)
    moved = functional.pad(targets[:, places:], (0, short), value=IGNORED_TARGET)
    within = functional.pad(ends[:, places:], (0, short), value=-1) == ends
    return moved.masked_fill(ignored | ~within, IGNORED_TARGET)


def build_mtp(config: MtpConfig, *, model: LanguageModel) -> MultiTokenPrediction:
    """Factory of `mtp`: heads are the same for every run, whatever was drawn before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        dim = next(iter(model.head_parameters())).shape[1]
        return MultiTokenPrediction(config, dim, model.vocab_size)
