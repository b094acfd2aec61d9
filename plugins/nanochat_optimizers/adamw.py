"""Adam with decoupled weight decay (Kingma & Ba 2014, arXiv 1412.6980; Loshchilov & Hutter 2017, arXiv 1711.05101)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch.optim.adamw import adamw

from nanochat_framework.contracts.optimizer import NamedParameter
from nanochat_optimizers.config import AdamwConfig
from nanochat_optimizers.slots import SlotOptimizer, counter, gradients_of, like_weight, weights_of


class Adamw(SlotOptimizer):
    """w ← w · (1 - lr · wd); m ← β₁m + (1 - β₁)g; v ← β₂v + (1 - β₂)g²; w ← w - lr · m̂ / (√v̂ + eps).

    m̂ = m / (1 - β₁ᵗ) and v̂ = v / (1 - β₂ᵗ), t counted for each parameter by itself in the slot `step`. The update is
    torch's fused one: a single pass over memory (on a CPU a third of the time of one pass an operation).
    """

    def __init__(self, config: AdamwConfig, parameters: Sequence[NamedParameter]) -> None:
        super().__init__(parameters, {"exp_avg": like_weight, "exp_avg_sq": like_weight, "step": counter})
        self.config = config

    @torch.no_grad()
    def step(self, hyperparameters: Mapping[str, float]) -> None:
        """One update; see `contracts.optimizer`."""
        members = self.with_gradients()
        if not members:
            return
        adamw(
            weights_of(members),
            gradients_of(members),
            self.slot(members, "exp_avg"),
            self.slot(members, "exp_avg_sq"),
            [],
            self.slot(members, "step"),
            fused=True,
            amsgrad=False,
            beta1=self.config.betas[0],
            beta2=self.config.betas[1],
            lr=hyperparameters["lr"],
            weight_decay=hyperparameters["weight_decay"],
            eps=self.config.eps,
            maximize=False,
        )


def build_adamw(config: AdamwConfig, *, parameters: Sequence[NamedParameter]) -> Adamw:
    """Factory of `adamw`."""
    return Adamw(config, parameters)
