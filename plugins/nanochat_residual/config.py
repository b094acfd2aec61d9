"""Configuration of the residual streams, and how they describe themselves."""

from __future__ import annotations

from nanochat_framework.config.component import PartConfig
from nanochat_framework.model.describe import Place
from nanochat_framework.model.description import AddResidual


class AddConfig(PartConfig):
    """`residual = { name = "add" }`: it has no settings."""

    def describe(self, place: Place) -> AddResidual:
        """One stream."""
        return AddResidual()
