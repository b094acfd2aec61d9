"""Settings of acme/widget; imports neither torch nor numpy."""

from __future__ import annotations

from pydantic import Field

from nanochat_framework.config.component import PartConfig
from nanochat_framework.model import roles
from nanochat_framework.model.describe import Place
from nanochat_framework.model.description import Opaque, TensorSpec


class WidgetConfig(PartConfig):
    """`attention = { name = "acme/widget" }`."""

    inner_dim: int = Field(default=128, gt=0, description="Width of what is averaged, in channels.")

    def describe(self, place: Place) -> Opaque:
        """What is in a model: the planner counts it, and quantizers find it. Exporters that must know more say so."""
        inner, dim = self.inner_dim, place.dim
        shapes = {"value": (inner, dim), "gate": (inner, dim), "output": (dim, inner)}
        specs = (TensorSpec(place.name(f"{name}.weight"), shape, roles.MATRIX) for name, shape in shapes.items())
        return Opaque("attention acme/widget", tuple(specs))
