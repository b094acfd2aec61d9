"""Settings of acme/widget; imports neither torch nor numpy."""

from __future__ import annotations

from pydantic import Field

from nanochat_framework.config.component import PartConfig
from nanochat_framework.model import roles
from nanochat_framework.model.describe import Place
from nanochat_framework.model.description import Opaque, TensorSpec


class WidgetConfig(PartConfig):
    """`ffn = { name = "acme/widget" }`."""

    hidden_dim: int = Field(default=256, gt=0, description="Inner width, in channels.")

    def describe(self, place: Place) -> Opaque:
        """What is in a model: `nanochat plan` counts it, quantizers find it, and files of any exporter that needs no more.

        `model.description` has operations that say what is computed as well, for which GGUF has a place.
        """
        up = TensorSpec(place.name("up.weight"), (self.hidden_dim, place.dim), roles.MATRIX)
        down = TensorSpec(place.name("down.weight"), (place.dim, self.hidden_dim), roles.MATRIX)
        return Opaque("ffn acme/widget", (up, down))
