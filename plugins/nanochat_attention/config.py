"""Configuration of the attention types, and how they describe themselves."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from nanochat_framework.config.component import PartConfig
from nanochat_framework.model import roles
from nanochat_framework.model.describe import Place
from nanochat_framework.model.description import Linear, Rotary, SoftmaxAttention, TensorSpec


class GqaConfig(PartConfig):
    """`attention = { name = "gqa" }`: n_kv_heads = n_heads is multi-head attention, 1 is multi-query."""

    n_heads: int = Field(gt=0, description="Query heads.")
    n_kv_heads: int = Field(gt=0, description="Key/value heads; divides n_heads.")
    head_dim: int = Field(gt=0, multiple_of=2, description="Width of a head, in channels; even.")
    rope_theta: float = Field(default=10000.0, gt=0, description="Base of the rotary frequencies.")

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.n_heads % self.n_kv_heads:
            raise ValueError(f"n_kv_heads {self.n_kv_heads} must divide n_heads {self.n_heads}")
        return self

    def describe(self, place: Place) -> SoftmaxAttention:
        """Four maps around one attention."""
        inner, shared = self.n_heads * self.head_dim, self.n_kv_heads * self.head_dim

        def linear(name: str, rows: int, columns: int) -> Linear:
            return Linear(TensorSpec(place.name(f"{name}.weight"), (rows, columns), roles.MATRIX))

        return SoftmaxAttention(
            query=linear("query", inner, place.dim),
            key=linear("key", shared, place.dim),
            value=linear("value", shared, place.dim),
            output=linear("output", place.dim, inner),
            n_heads=self.n_heads,
            n_kv_heads=self.n_kv_heads,
            head_dim=self.head_dim,
            rotary=Rotary(self.rope_theta, self.head_dim),
            scale=self.head_dim**-0.5,
        )
