"""Configurations of the residual streams, and how they describe themselves."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nanochat_framework.config.component import PartConfig
from nanochat_framework.model import roles
from nanochat_framework.model.describe import Place
from nanochat_framework.model.description import AddResidual, MixedStreams, TensorSpec


class AddConfig(PartConfig):
    """`residual = { name = "add" }`: it has no settings."""

    def describe(self, place: Place) -> AddResidual:
        """One stream."""
        return AddResidual()


class MhcConfig(PartConfig):
    """`residual = { name = "mhc" }`: manifold-constrained hyper-connections."""

    streams: Literal[2, 4] = Field(default=2, description="Copies of the hidden state.")
    dynamic: bool = Field(
        default=False,
        description="Whether strengths and mixing depend on the streams' content, besides learned constants.",
    )
    order: Literal["mix_then_add", "add_then_mix"] = Field(
        default="mix_then_add",
        description="Whether a sub-layer's output joins the streams after they are mixed (the papers) or before.",
    )

    @property
    def n_mixing(self) -> int:
        """Logits of one mixing matrix: one for two streams, one for each of the 24 permutations of four."""
        return 1 if self.streams == 2 else 24

    def shapes(self, place: Place) -> dict[str, tuple[int, ...]]:
        """Parameter name -> shape; the first axis is the sub-layer."""
        sublayers, streams = 2 * place.n_layers, self.streams
        shapes: dict[str, tuple[int, ...]] = {
            "read": (sublayers, streams),
            "write": (sublayers, streams),
            "mixing": (sublayers, self.n_mixing),
        }
        if self.dynamic:
            shapes["gates"] = (sublayers, 3)
            shapes["projection"] = (sublayers, 2 * streams + self.n_mixing, streams * place.dim)
        return shapes

    def describe(self, place: Place) -> MixedStreams:
        """The streams and their weights."""
        shapes = self.shapes(place)
        specs = (TensorSpec(place.name(f"{name}_weight"), shape, roles.RESIDUAL) for name, shape in shapes.items())
        return MixedStreams(self.streams, self.order == "mix_then_add", self.dynamic, tuple(specs))
