"""Configuration of the attention types, and how they describe themselves."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from nanochat_framework.config.component import AttentionConfig
from nanochat_framework.model import roles
from nanochat_framework.model.describe import Place
from nanochat_framework.model.description import Linear, RmsNorm, Rotary, SoftmaxAttention, TensorSpec


class GqaConfig(AttentionConfig):
    """`attention = { name = "gqa" }`: n_kv_heads = n_heads is multi-head attention, 1 is multi-query."""

    n_heads: int = Field(gt=0, examples=[4], description="Query heads.")
    n_kv_heads: int = Field(gt=0, examples=[2], description="Key/value heads; divides n_heads.")
    head_dim: int = Field(gt=0, multiple_of=2, examples=[16], description="Width of a head, in channels; even.")
    rope_theta: float = Field(default=10000.0, gt=0, description="Base of the rotary frequencies.")
    rotary_dim: int | None = Field(
        default=None,
        gt=0,
        multiple_of=2,
        description="Channels of a head that turn by position, the first ones; even. Absent: all. Qwen3.5 turns a quarter.",
    )
    qk_norm: bool = Field(
        default=False,
        description="Whether queries and keys are normalised, head by head, before they are rotated (Qwen3).",
    )
    qk_norm_affine: bool = Field(default=True, description="Whether that norm has a learned gain for each channel.")
    qk_norm_eps: float = Field(default=1e-6, gt=0, description="Added to the mean square in the norm of a head.")
    output_gate: bool = Field(
        default=False, description="Whether a sigmoid of the input gates what attention found, channel by channel."
    )
    window: int | None = Field(
        default=None, gt=0, description="Positions that a position sees, itself included; absent: all before it."
    )

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.n_heads % self.n_kv_heads:
            raise ValueError(f"n_kv_heads {self.n_kv_heads} must divide n_heads {self.n_heads}")
        if self.turned > self.head_dim:
            raise ValueError(f"rotary_dim {self.rotary_dim} is more than head_dim {self.head_dim}")
        return self

    @property
    def turned(self) -> int:
        """Channels that turn by position, said or not."""
        return self.rotary_dim or self.head_dim

    def value_heads(self, place: Place) -> tuple[int, int]:
        """As many as there are of keys."""
        return self.n_kv_heads, self.head_dim

    def describe(self, place: Place) -> SoftmaxAttention:
        """Four maps around one attention."""
        inner, shared = self.n_heads * self.head_dim, self.n_kv_heads * self.head_dim

        def linear(name: str, rows: int, columns: int) -> Linear:
            return Linear(TensorSpec(place.name(f"{name}.weight"), (rows, columns), roles.MATRIX))

        def norm(name: str) -> RmsNorm | None:
            gain = TensorSpec(place.name(name), (self.head_dim,), roles.NORM) if self.qk_norm_affine else None
            return RmsNorm(self.head_dim, self.qk_norm_eps, gain) if self.qk_norm else None

        return SoftmaxAttention(
            query=linear("query", inner, place.dim),
            key=linear("key", shared, place.dim),
            value=linear("value", shared, place.dim),
            output=linear("output", place.dim, inner),
            n_heads=self.n_heads,
            n_kv_heads=self.n_kv_heads,
            head_dim=self.head_dim,
            rotary=Rotary(self.rope_theta, self.turned),
            scale=self.head_dim**-0.5,
            query_norm=norm("query_norm"),
            key_norm=norm("key_norm"),
            gate=linear("gate", inner, place.dim) if self.output_gate else None,
            window=self.window,
        )
