"""Configuration of the feed-forward parts, and how they describe themselves."""

from __future__ import annotations

from pydantic import Field

from nanochat_framework.config.component import PartConfig
from nanochat_framework.model import roles
from nanochat_framework.model.describe import Place
from nanochat_framework.model.description import (
    GatedFeedForward,
    Linear,
    PlainFeedForward,
    TensorSpec,
)


def _linear(place: Place, name: str, rows: int, columns: int) -> Linear:
    return Linear(TensorSpec(place.name(f"{name}.weight"), (rows, columns), roles.MATRIX))


class SwigluConfig(PartConfig):
    """`ffn = { name = "swiglu" }`."""

    hidden_dim: int = Field(gt=0, description="Inner width, in channels; multiples of 256 export to stock GGUF types.")

    def describe(self, place: Place) -> GatedFeedForward:
        """Three maps."""
        return GatedFeedForward(
            gate=_linear(place, "gate", self.hidden_dim, place.dim),
            up=_linear(place, "up", self.hidden_dim, place.dim),
            down=_linear(place, "down", place.dim, self.hidden_dim),
            activation="silu",
        )


class Relu2Config(PartConfig):
    """`ffn = { name = "relu2" }`."""

    hidden_dim: int = Field(gt=0, description="Inner width, in channels; multiples of 256 export to stock GGUF types.")

    def describe(self, place: Place) -> PlainFeedForward:
        """Two maps."""
        return PlainFeedForward(
            up=_linear(place, "up", self.hidden_dim, place.dim),
            down=_linear(place, "down", place.dim, self.hidden_dim),
            activation="relu2",
        )
