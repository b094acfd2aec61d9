"""`name = "..."` in a table selects a component; the rest of the table is that component's configuration.

The choice is a registry lookup inside pydantic validation, so only the chosen component's configuration is imported
and errors keep the path of the key that caused them. The registry travels in the validation context.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError, ValidationInfo
from pydantic_core import PydanticCustomError, core_schema

from nanochat_framework.config.component import ComponentConfig
from nanochat_framework.plugins.component import Component
from nanochat_framework.plugins.faults import fault
from nanochat_framework.plugins.registry import Registry, UnknownComponent

ConfigT = TypeVar("ConfigT", bound=ComponentConfig)
COMPONENT_MARK = "x-component"
"""Key in a field's JSON Schema that says "a component of this kind"; `config.schema` puts the alternatives there."""


@dataclass(frozen=True)
class Selected(Generic[ConfigT]):
    """A component with its validated configuration."""

    component: Component
    config: ConfigT

    @property
    def name(self) -> str:
        """The name that selected it."""
        return self.component.name

    def build(self, **runtime: Any) -> Any:
        """Build the implementation: `factory(config, **runtime)`. The runtime arguments are those of its contract."""
        return self.component.load_factory()(self.config, **runtime)

    def to_dict(self) -> dict[str, Any]:
        """The table that selects this component with this configuration; absent optional values are left out."""
        return {"name": self.name, **self.config.model_dump(mode="json", exclude_none=True)}


class Select:
    """Annotation of a field that holds a component: `Annotated[Selected[Any], Select("attention")]`."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.with_info_plain_validator_function(
            self._validate,
            serialization=core_schema.plain_serializer_function_ser_schema(lambda selected: selected.to_dict()),
        )

    def __get_pydantic_json_schema__(self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler) -> Any:
        return {COMPONENT_MARK: self.kind}

    def _validate(self, value: Any, info: ValidationInfo) -> Selected[Any]:
        return select(self.kind, value, info)


def select(kind: str, value: Any, info: ValidationInfo) -> Selected[Any]:
    """Turn a table (or a bare name) into a `Selected`. Raises pydantic's errors with paths inside the table."""
    if isinstance(value, Selected):
        return value
    if isinstance(value, str):
        value = {"name": value}
    if not isinstance(value, Mapping):
        raise PydanticCustomError("component_table", "expected a table with a name, or a name")
    body = dict(value)
    name = body.pop("name", None)
    if not isinstance(name, str):
        raise PydanticCustomError("component_name", "{message}", {"message": _missing_name(kind, name, info)})
    try:
        component = registry_of(info).get(kind, name)
    except UnknownComponent as error:
        context = {"message": str(error), "absent": error.absent}
        raise PydanticCustomError("component_unknown", "{message}", context) from None
    return Selected(component, _configured(component, body, info))


def _configured(component: Component, body: dict[str, Any], info: ValidationInfo) -> Any:
    """The component's settings. A stranger's module may raise anything; that is a message, not a traceback."""
    try:
        config_class = component.config_class()
        if not issubclass(config_class, ComponentConfig):
            raise TypeError(f"{component.config} is no ComponentConfig")
        return config_class.model_validate(body, context=info.context)
    except ValidationError:
        raise
    except (Exception, SystemExit) as error:
        message = (
            f"{component.kind} {component.name!r} of plugin {component.plugin} ({component.distribution} "
            f"{component.version}) cannot be used: {fault(error)}"
        )
        raise PydanticCustomError("component_broken", "{message}", {"message": message, "absent": True}) from None


def _missing_name(kind: str, given: Any, info: ValidationInfo) -> str:
    what = "a name is missing" if given is None else "the name must be a string"
    return f"{what}; choose one of: {', '.join(registry_of(info).names(kind))}"


def registry_of(info: ValidationInfo) -> Registry:
    """The registry that validation was given. It is a programmer's mistake to validate without one."""
    assert info.context is not None and "registry" in info.context, "validate with context={'registry': ...}"
    registry = info.context["registry"]
    assert isinstance(registry, Registry)
    return registry
