"""Settings of acme/widget; imports neither torch nor numpy."""

from __future__ import annotations

from pydantic import Field

from nanochat_framework.config.component import PartConfig
from nanochat_framework.model import roles
from nanochat_framework.model.describe import Place
from nanochat_framework.model.description import Opaque, TensorSpec


class WidgetConfig(PartConfig):
    """`residual = { name = "acme/widget" }`."""

    initial_strength: float = Field(
        default=0.5,
        gt=0,
        description="What each output is multiplied by at first; 0 would leave nothing to learn from.",
    )

    def describe(self, place: Place) -> Opaque:
        """One number for each of the 2 · n_layers sub-layers."""
        strength = TensorSpec(place.name("strength"), (2 * place.n_layers,), roles.RESIDUAL)
        return Opaque("residual acme/widget", (strength,))
