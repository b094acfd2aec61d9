"""Settings of acme/widget; imports neither torch nor numpy."""

from __future__ import annotations

from pydantic import Field

from nanochat_framework.config.component import PartConfig
from nanochat_framework.model import roles
from nanochat_framework.model.describe import Place
from nanochat_framework.model.description import Opaque, TensorSpec


class WidgetConfig(PartConfig):
    """`norm = { name = "acme/widget" }`."""

    eps: float = Field(default=1e-5, gt=0, description="Added to the variance before the root.")

    def describe(self, place: Place) -> Opaque:
        """One gain for each channel."""
        gain = TensorSpec(place.name("weight"), (place.dim,), roles.NORM)
        return Opaque("norm acme/widget", (gain,))
