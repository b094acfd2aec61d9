"""Mixture of experts with token-choice routing (Shazeer et al. 2017, arXiv 1701.06538; Fedus et al. 2021, arXiv 2101.03961)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from nanochat_ffn.config import MoeConfig, SwigluConfig
from nanochat_ffn.swiglu import Swiglu
from nanochat_framework.contracts.ffn import FeedForward
from nanochat_framework.model import roles
from nanochat_framework.model.auxiliary import add_auxiliary_loss
from nanochat_framework.model.describe import Place
from nanochat_framework.model.diagnostics import record
from nanochat_framework.model.linear import Linear
from nanochat_framework.model.stacked import StackedLinears
from nanochat_framework.model.step_counts import MovedByCounts, add_counts


class MixtureOfExperts(FeedForward, MovedByCounts):
    """Σ_e g_e · expert_e(x) over the n_active likeliest experts, g the router's softmax renormalised over them.

    The router works in float32. An expert is run once, on the tokens that chose it: no token is lost, and the products
    are as many as the chosen experts need. In bfloat16 the tokens are sorted by expert and all experts multiply in one
    grouped product (Gale et al. 2022, arXiv 2211.15841); elsewhere the experts are run one by one. With a capacity factor,
    in training, the tokens beyond an expert's capacity pass by it (batch-wide, so this is the one place where a token's
    result depends on others; never outside training).

    Losses handed to the trainer: `router_balance`, E · Σ_e f_e p_e with f the share of choices and p the mean probability
    (1 when even); `router_z`, the mean of (log Σ exp logits)² (Zoph et al. 2022, arXiv 2202.08906).

    With `bias_update_speed` u, experts are chosen by probability + bias, and after each step the bias of an expert that c of
    the step's choices fell on moves by u · sign(mean(c) - c) (Wang et al. 2024, arXiv 2408.15664, algorithm 1).
    """

    def __init__(self, config: MoeConfig, place: Place) -> None:
        super().__init__()
        self.config, self.layer = config, place.layer or 0
        self.router = Linear(place.dim, config.n_experts, role=roles.ROUTER)
        expert = SwigluConfig(hidden_dim=config.hidden_dim)
        self.experts = nn.ModuleList(Swiglu(expert, place) for _ in range(config.n_experts))
        self.gates, self.ups, self.downs = (
            StackedLinears([getattr(each, name) for each in self.experts]) for name in ("gate", "up", "down")
        )
        self.shared = None
        if config.shared_hidden_dim:
            self.shared = Swiglu(SwigluConfig(hidden_dim=config.shared_hidden_dim), place)
        self.shared_gate = Linear(place.dim, 1, role=roles.GATE) if config.shared_gate else None
        self.expert_bias: nn.Parameter | None = None
        if config.bias_update_speed is not None:
            self.expert_bias = nn.Parameter(torch.zeros(config.n_experts), requires_grad=False)
            self.parameter_roles = {"expert_bias": roles.EXPERT_BIAS}

    def forward(self, x: Tensor) -> Tensor:
        """(batch, seq, dim) -> (batch, seq, dim)."""
        rows = x.flatten(0, -2)
        gates, chosen = self._route(rows)
        limited = self.config.capacity_factor is not None and self.training
        together = not limited and self.gates.supports(rows) and self.downs.supports(rows)
        routed = self._together(rows, gates, chosen) if together else self._one_by_one(rows, gates, chosen)
        return (routed if self.shared is None else routed + self._shared(rows)).view(x.shape)

    def _together(self, rows: Tensor, gates: Tensor, chosen: Tensor) -> Tensor:
        """All experts at once. Rows are moved by permutations, so that sums have one order on every device."""
        flat = chosen.flatten()
        order = flat.argsort(stable=True)
        back = torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device))
        ends = functional.one_hot(flat, self.config.n_experts).sum(dim=0).cumsum(dim=0).to(torch.int32)
        x = rows[:, None].expand(-1, self.config.n_active, -1).flatten(0, 1)[order]
        rounded = self.gates.rounded(x)
        gate, up = (each.product_of_rounded(x, rounded, ends) for each in (self.gates, self.ups))
        inner = functional.silu(gate) * up
        found = self.downs.product_of_rounded(inner, self.downs.rounded(inner), ends)[back]
        weighted = found.view(*chosen.shape, -1) * gates[..., None].to(rows.dtype)
        return weighted.sum(dim=1)

    def _one_by_one(self, rows: Tensor, gates: Tensor, chosen: Tensor) -> Tensor:
        result = torch.zeros_like(rows)
        for number, expert in enumerate(self.experts):
            mine, place = self._mine(chosen, number)
            if len(mine):
                result = result.index_add(0, mine, expert(rows[mine]) * gates[mine, place][:, None].to(rows.dtype))
        return result

    def _route(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Gates (n, n_active) float32 and the numbers of the chosen experts, likeliest first."""
        logits = self.router(rows.float())
        probabilities = torch.softmax(logits, dim=-1)
        gates, chosen = self._choose(probabilities)
        choices = functional.one_hot(chosen.flatten(), self.config.n_experts)
        if self.expert_bias is not None:
            add_counts(self, choices.sum(dim=0))
        load = choices.float().mean(dim=0)
        balance = self.config.n_experts * (load * probabilities.mean(dim=0)).sum()
        add_auxiliary_loss("router_balance", self.config.balance_weight, balance)
        add_auxiliary_loss("router_z", self.config.router_z_weight, torch.logsumexp(logits, dim=-1).square().mean())
        for number in range(self.config.n_experts):
            record(f"expert_load.{self.layer}.{number}", lambda share=load[number]: share)  # type: ignore[misc]
        return gates / gates.sum(dim=-1, keepdim=True), chosen

    def _choose(self, probabilities: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities and numbers (n, n_active) of the chosen experts."""
        if self.expert_bias is None:
            return probabilities.topk(self.config.n_active, dim=-1)
        chosen = (probabilities + self.expert_bias).topk(self.config.n_active, dim=-1).indices
        return probabilities.gather(-1, chosen), chosen

    @torch.no_grad()
    def move(self, counts: Tensor) -> None:
        """Towards an even load; `counts` (n_experts,) are the choices that fell on each expert."""
        assert self.expert_bias is not None and self.config.bias_update_speed is not None
        direction = torch.sign(counts.mean() - counts).float()
        self.expert_bias.add_(direction.to(self.expert_bias.device), alpha=self.config.bias_update_speed)

    def _mine(self, chosen: Tensor, number: int) -> tuple[Tensor, Tensor]:
        """Rows that go to an expert, in order, and the place of it among each row's choices."""
        mine, place = (chosen == number).nonzero(as_tuple=True)
        if self.config.capacity_factor is None or not self.training:
            return mine, place
        room = math.ceil(self.config.capacity_factor * chosen.numel() / self.config.n_experts)
        return mine[:room], place[:room]

    def _shared(self, rows: Tensor) -> Tensor:
        assert self.shared is not None
        result: Tensor = self.shared(rows)
        if self.shared_gate is not None:
            result = result * torch.sigmoid(self.shared_gate(rows))
        return result


def build_moe(config: MoeConfig, *, place: Place) -> MixtureOfExperts:
    """Factory of `moe`."""
    return MixtureOfExperts(config, place)
