"""Four experts, two for each token, with a load-balance loss handed to the trainer."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from nanochat_framework.contracts.ffn import FeedForward
from nanochat_framework.model import roles
from nanochat_framework.model.auxiliary import add_auxiliary_loss
from nanochat_framework.model.describe import Place
from nanochat_framework.model.linear import Linear
from tests.probes.config import Top2Config


class Top2(FeedForward):
    """Token-choice routing over a loop of experts; the router stays in float32."""

    def __init__(self, config: Top2Config, place: Place) -> None:
        super().__init__()
        self.config = config
        self.router = Linear(place.dim, config.n_experts, role=roles.ROUTER)
        self.up = nn.ModuleList(Linear(place.dim, config.hidden_dim) for _ in range(config.n_experts))
        self.down = nn.ModuleList(Linear(config.hidden_dim, place.dim) for _ in range(config.n_experts))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, seq, dim) -> (batch, seq, dim)."""
        probabilities = torch.softmax(self.router(x.float()), dim=-1)
        gates, chosen = probabilities.topk(2, dim=-1)
        gates = gates / gates.sum(dim=-1, keepdim=True)
        result = torch.zeros_like(x)
        for expert in range(self.config.n_experts):
            gate = (gates * (chosen == expert)).sum(dim=-1, keepdim=True).to(x.dtype)
            result = result + gate * self.down[expert](functional.silu(self.up[expert](x)))
        load = functional.one_hot(chosen, self.config.n_experts).float().mean(dim=(0, 1, 2))
        balance = self.config.n_experts * (load * probabilities.mean(dim=(0, 1))).sum()
        add_auxiliary_loss("router_balance", self.config.balance_weight, balance)
        return result


def build_top2(config: Top2Config, *, place: Place) -> Top2:
    """Factory."""
    return Top2(config, place)
