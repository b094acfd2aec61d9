"""The base of every component's configuration."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from nanochat_framework.model.describe import Place
from nanochat_framework.model.description import ModelDescription, Opaque, Operation


class ComponentConfig(BaseModel):
    """Settings of one component: torch-free, frozen, strict about unknown keys.

    Each field carries `Field(description=...)` with its unit; the text feeds `nanochat components show`, the JSON
    Schema and the documents. The component's own name is not a field: it is what selected this class.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


def scheduled(description: str, **field: Any) -> Any:
    """A hyperparameter that a schedule may scale over the steps (an optimizer's `lr`, `momentum`, ...)."""
    return Field(description=description, json_schema_extra={"scheduled": True}, **field)


class PartConfig(ComponentConfig):
    """Configuration of a part of a model (attention, ffn, norm, residual): it can describe itself without torch."""

    def describe(self, place: Place) -> Operation:
        """The part as operations with named tensors. The default is `Opaque`: it trains, but cannot be exported."""
        return Opaque(component=type(self).__name__)


class ModelConfig(ComponentConfig):
    """Configuration of a whole model. Every model has these three sizes, whatever it is made of."""

    dim: int = Field(gt=0, description="Width of the residual stream, in channels.")
    vocab_size: int = Field(gt=0, description="Rows of the embedding, in tokens; at least the tokenizer's.")
    max_seq_len: int = Field(gt=0, description="Longest sequence the model is built for, in tokens.")

    def describe(self) -> ModelDescription:
        """The model as operations with named tensors, computed from the configuration alone."""
        raise TypeError(f"{type(self).__name__} does not describe itself")
