"""The base of every component's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, get_args

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema

from nanochat_framework.model.describe import Place
from nanochat_framework.model.description import ModelDescription, Opaque, Operation


class StrictModel(BaseModel):
    """A frozen table that takes no unknown key and turns no value into another.

    `steps = true` is no number, `steps = "5"` is none either, and infinity is not a setting: JSON could not hold it.
    pydantic's own strict mode would also refuse an array for a tuple and a string for a path, so only numbers and
    booleans are made strict.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True, allow_inf_nan=False)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler(source)
        _make_strict(schema)
        return schema


def _make_strict(schema: Any) -> None:
    """Switch conversions off for every number and boolean of a core schema, in place."""
    if isinstance(schema, dict):
        if schema.get("type") in ("int", "float", "bool"):
            schema["strict"] = True
        for key, part in schema.items():
            if key != "default":
                _make_strict(part)
    elif isinstance(schema, list | tuple):
        for part in schema:
            _make_strict(part)


class ComponentConfig(StrictModel):
    """Settings of one component: torch-free, frozen, strict about unknown keys.

    Each field carries `Field(description=...)` with its unit; the text feeds `nanochat components show`, the JSON
    Schema and the documents. The component's own name is not a field: it is what selected this class.
    """

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Raise TypeError for a field that the selecting table could not hold."""
        if "name" in cls.model_fields:
            raise TypeError(f"{cls.__name__} has a field 'name', the key that selects the component; call it otherwise")


def table_within(field: FieldInfo) -> type[StrictModel] | None:
    """What a field's value is made of if that is a table of its own and no component: `warmup = { ... }`."""
    kinds = (field.annotation, *get_args(field.annotation))
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, StrictModel)), None)


LARGEST_SCHEDULED = 1e30


def scheduled(description: str, **field: Any) -> Any:
    """A hyperparameter that a schedule may scale over the steps (an optimizer's `lr`, `momentum`, ...).

    At most LARGEST_SCHEDULED unless `field` has a limit of its own: times a gradient it must stay a float32.
    """
    if not {"le", "lt"} & set(field):
        field["le"] = LARGEST_SCHEDULED
    return Field(description=description, json_schema_extra={"scheduled": True}, **field)


class PartConfig(ComponentConfig):
    """Configuration of a part of a model (attention, ffn, norm, residual): it can describe itself without torch."""

    def describe(self, place: Place) -> Operation:
        """The part as operations with named tensors. The default is `Opaque`: it trains, but cannot be exported."""
        return Opaque(component=type(self).__name__)


class AttentionConfig(PartConfig):
    """Configuration of an attention that may say what its values look like, so that a model can add to them."""

    def value_heads(self, place: Place) -> tuple[int, int] | None:
        """How many value heads there are, and channels of each; None: nothing can be added to its values.

        Whoever says so takes `added_values` in `forward` (`contracts.attention`).
        """
        return None


class ModelConfig(ComponentConfig):
    """Configuration of a whole model. Every model has these three sizes, whatever it is made of.

    A model whose sizes can be computed names the key that asks for it in `derives_from`, and says in `derived` how.
    """

    derives_from: ClassVar[str] = ""

    dim: int = Field(gt=0, examples=[32], description="Width of the residual stream, in channels.")
    vocab_size: int = Field(
        gt=0, examples=[97], description="Rows of the embedding, in tokens; at least the tokenizer's."
    )
    max_seq_len: int = Field(gt=0, examples=[64], description="Longest sequence the model is built for, in tokens.")

    @classmethod
    def derived(cls, table: Mapping[str, Any]) -> Mapping[str, Any]:
        """Keys that follow from `derives_from`, in tables as they are written; what a person wrote goes before.

        The table is not validated yet: nothing follows from a value that is none.
        """
        return {}

    def describe(self) -> ModelDescription:
        """The model as operations with named tensors, computed from the configuration alone."""
        raise TypeError(f"{type(self).__name__} does not describe itself")
