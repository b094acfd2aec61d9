"""Configurations of mutants, most of them broken themselves."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field, field_validator

from nanochat_attention.config import GqaConfig
from nanochat_framework.config.component import ComponentConfig, PartConfig
from nanochat_framework.config.quantizer_config import QuantizerConfig
from nanochat_framework.model.describe import Place
from nanochat_framework.model.description import SoftmaxAttention


class Nothing(ComponentConfig):
    """No settings."""


class NoSettings(PartConfig):
    """No settings, of a part."""


class Folder(ComponentConfig):
    """Where files are."""

    path: str = Field(description="A folder, or a file.")


class Undescribed(ComponentConfig):
    """A field without a word about it."""

    warmup_steps: int = 3


class WithoutUnit(ComponentConfig):
    """A duration, but of what?"""

    timeout: float = Field(default=3.0, gt=0, description="How long is waited.")


class Forgetful(ComponentConfig):
    """What is written is not what was read."""

    base: float = Field(default=2.0, ge=0, le=1e6, description="Doubled whenever it is read.")

    @field_validator("base")
    @classmethod
    def _doubled(cls, base: float) -> float:
        return 2 * base


class Tolerant(BaseModel):
    """Takes any key."""

    base: float = Field(default=2.0, description="No ComponentConfig at all.")


class WrongShape(GqaConfig):
    """Describes maps that are not those of the module."""

    def describe(self, place: Place) -> SoftmaxAttention:
        """With one head more."""
        more: Any = self.model_copy(update={"n_heads": self.n_heads + self.n_kv_heads})
        described: SoftmaxAttention = GqaConfig.describe(more, place)
        return described


class Grouped(QuantizerConfig):
    """Says nothing of its codes."""
