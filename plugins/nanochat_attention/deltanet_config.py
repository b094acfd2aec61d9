"""Configuration of the gated delta net, and how it describes itself."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from nanochat_framework.config.component import PartConfig
from nanochat_framework.model import roles
from nanochat_framework.model.describe import Place
from nanochat_framework.model.description import GatedDeltaNet, Linear, RmsNorm, TensorSpec


class DeltaNetConfig(PartConfig):
    """`attention = { name = "deltanet" }`."""

    n_heads: int = Field(gt=0, examples=[4], description="Query and key heads.")
    n_value_heads: int | None = Field(
        default=None, gt=0, description="Value heads, each with a memory; a multiple of n_heads. Absent: n_heads."
    )
    head_dim: int = Field(
        gt=0, examples=[16], description="Width of a head, in channels: a memory is head_dim x head_dim."
    )
    convolution_size: int = Field(default=4, gt=1, description="Positions that the short convolution sees.")
    eps: float = Field(default=1e-6, gt=0, description="Added to the mean square in the norm of the output.")

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.value_heads % self.n_heads:
            raise ValueError(f"n_value_heads {self.value_heads} must be a multiple of n_heads {self.n_heads}")
        return self

    @property
    def value_heads(self) -> int:
        """Value heads, said or not."""
        return self.n_value_heads or self.n_heads

    def describe(self, place: Place) -> GatedDeltaNet:
        """Seven maps, a convolution, and what makes the decay."""
        keys, values = self.n_heads * self.head_dim, self.value_heads * self.head_dim

        def linear(name: str, rows: int, columns: int, role: str = roles.MATRIX) -> Linear:
            return Linear(TensorSpec(place.name(f"{name}.weight"), (rows, columns), role))

        return GatedDeltaNet(
            query=linear("query", keys, place.dim),
            key=linear("key", keys, place.dim),
            value=linear("value", values, place.dim),
            gate=linear("gate", values, place.dim),
            beta=linear("beta", self.value_heads, place.dim, roles.GATE),
            decay=linear("decay", self.value_heads, place.dim, roles.GATE),
            output=linear("output", place.dim, values),
            convolution=TensorSpec(place.name("convolution"), (2 * keys + values, self.convolution_size), roles.CONV),
            decay_log=TensorSpec(place.name("decay_log"), (self.value_heads,), roles.GATE),
            decay_bias=TensorSpec(place.name("decay_bias"), (self.value_heads,), roles.BIAS),
            norm=RmsNorm(self.head_dim, self.eps, TensorSpec(place.name("norm"), (self.head_dim,), roles.NORM)),
            n_heads=self.n_heads,
            n_value_heads=self.value_heads,
            head_dim=self.head_dim,
        )
