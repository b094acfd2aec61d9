"""Configuration of the feed-forward parts, and how they describe themselves."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from nanochat_framework.config.component import PartConfig
from nanochat_framework.model import roles
from nanochat_framework.model.describe import Place
from nanochat_framework.model.description import (
    GatedFeedForward,
    Linear,
    MixtureOfExperts,
    PlainFeedForward,
    TensorSpec,
)


def _linear(place: Place, name: str, rows: int, columns: int) -> Linear:
    return Linear(TensorSpec(place.name(f"{name}.weight"), (rows, columns), roles.MATRIX))


def _swiglu(place: Place, hidden_dim: int) -> GatedFeedForward:
    return GatedFeedForward(
        gate=_linear(place, "gate", hidden_dim, place.dim),
        up=_linear(place, "up", hidden_dim, place.dim),
        down=_linear(place, "down", place.dim, hidden_dim),
        activation="silu",
    )


class SwigluConfig(PartConfig):
    """`ffn = { name = "swiglu" }`."""

    hidden_dim: int = Field(
        gt=0, examples=[96], description="Inner width, in channels; multiples of 256 export to stock GGUF types."
    )

    def describe(self, place: Place) -> GatedFeedForward:
        """Three maps."""
        return _swiglu(place, self.hidden_dim)


class Relu2Config(PartConfig):
    """`ffn = { name = "relu2" }`."""

    hidden_dim: int = Field(
        gt=0, examples=[96], description="Inner width, in channels; multiples of 256 export to stock GGUF types."
    )

    def describe(self, place: Place) -> PlainFeedForward:
        """Two maps."""
        return PlainFeedForward(
            up=_linear(place, "up", self.hidden_dim, place.dim),
            down=_linear(place, "down", place.dim, self.hidden_dim),
            activation="relu2",
        )


class MoeConfig(PartConfig):
    """`ffn = { name = "moe" }`: total parameters count all experts, active ones those of a single token."""

    n_experts: int = Field(gt=1, examples=[4], description="Experts in a layer.")
    n_active: int = Field(default=2, gt=0, description="Experts that each token goes to.")
    hidden_dim: int = Field(
        gt=0, examples=[32], description="Inner width of an expert, in channels; multiples of 256 export well."
    )
    shared_hidden_dim: int = Field(
        default=0, ge=0, description="Inner width of an expert that every token goes to, in channels; 0: there is none."
    )
    shared_gate: bool = Field(default=False, description="Whether the shared expert's output has a sigmoid gate.")
    capacity_factor: float | None = Field(
        default=None,
        gt=0,
        le=10**6,
        description="In training an expert takes at most this times its even share of the tokens, the first in order; what "
        "is over passes by it. Absent: every token reaches its experts.",
    )
    balance_weight: float = Field(
        default=0.01, ge=0, description="Factor of the load-balance loss, 1 at perfect balance (Switch Transformer)."
    )
    bias_update_speed: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Balances experts without a loss: each has a bias on the probability that it is chosen by (its gate "
        "stays), which after each step moves by this much, up if it had less than its share of the step's tokens, down if "
        "it had more (DeepSeek-V3: 0.001, with balance_weight at 0 or very small). Absent: there is none.",
    )
    router_z_weight: float = Field(
        default=0.001, ge=0, description="Factor of the mean squared log-normaliser of the router (ST-MoE)."
    )

    @model_validator(mode="after")
    def _sizes_agree(self) -> Self:
        if self.n_active > self.n_experts:
            raise ValueError(f"n_active {self.n_active} is more than n_experts {self.n_experts}")
        if self.shared_gate and not self.shared_hidden_dim:
            raise ValueError("shared_gate needs a shared expert: set shared_hidden_dim")
        return self

    def describe(self, place: Place) -> MixtureOfExperts:
        """The router, the experts, and the shared expert if there is one."""
        shared = _swiglu(place.at("shared"), self.shared_hidden_dim) if self.shared_hidden_dim else None
        gate = TensorSpec(place.name("shared_gate.weight"), (1, place.dim), roles.GATE) if self.shared_gate else None
        bias = TensorSpec(place.name("expert_bias"), (self.n_experts,), roles.EXPERT_BIAS)
        return MixtureOfExperts(
            router=Linear(TensorSpec(place.name("router.weight"), (self.n_experts, place.dim), roles.ROUTER)),
            experts=tuple(_swiglu(place.at(f"experts.{e}"), self.hidden_dim) for e in range(self.n_experts)),
            n_active=self.n_active,
            shared=shared,
            shared_gate=None if gate is None else Linear(gate),
            expert_bias=None if self.bias_update_speed is None else bias,
        )
