"""Lion (Chen et al. 2023, arXiv 2302.06675)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from nanochat_framework.contracts.optimizer import NamedParameter
from nanochat_optimizers.batching import batches
from nanochat_optimizers.config import LionConfig
from nanochat_optimizers.slots import SlotOptimizer, gradients_of, like_weight, shape_of, weights_of


class Lion(SlotOptimizer):
    """w ← w · (1 - lr · wd) - lr · sign(β₁m + (1 - β₁)g); m ← β₂m + (1 - β₂)g.

    sign(0) = 0: a row of an embedding that no token has touched stays where it is, decay aside.
    """

    def __init__(self, config: LionConfig, parameters: Sequence[NamedParameter]) -> None:
        super().__init__(parameters, {"exp_avg": like_weight})
        self.betas = config.betas

    @torch.no_grad()
    def step(self, hyperparameters: Mapping[str, float]) -> None:
        """One update; see `contracts.optimizer`."""
        for members in batches(self.with_gradients(), shape_of):
            self._update(members, hyperparameters["lr"], hyperparameters["weight_decay"])

    def _update(self, members: Sequence[NamedParameter], lr: float, weight_decay: float) -> None:
        """Update parameters that share one batch of temporaries."""
        weights, gradients, averages = weights_of(members), gradients_of(members), self.slot(members, "exp_avg")
        signs = torch._foreach_lerp(averages, gradients, 1.0 - self.betas[0])
        torch._foreach_sign_(signs)
        if weight_decay:
            torch._foreach_mul_(weights, 1.0 - lr * weight_decay)
        torch._foreach_add_(weights, signs, alpha=-lr)
        torch._foreach_lerp_(averages, gradients, 1.0 - self.betas[1])


def build_lion(config: LionConfig, *, parameters: Sequence[NamedParameter]) -> Lion:
    """Factory of `lion`."""
    return Lion(config, parameters)
