"""A component that the command line names, and its settings from there, validated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from nanochat_framework.errors import ConfigError, Problem, UsageError
from nanochat_framework.plugins.component import Component
from nanochat_framework.plugins.registry import Registry, UnknownComponent


def named(registry: Registry, kind: str, name: str, option: str = "") -> Component:
    """The component that an option names. Raises ConfigError, exit code 4 where a plugin is missing rather than a letter."""
    try:
        return registry.get(kind, name)
    except UnknownComponent as error:
        raise ConfigError([Problem(option, "", str(error))], exit_code=4 if error.absent else 2) from None


def configured(component: Component, options: Mapping[str, Any]) -> BaseModel:
    """The component's configuration with some settings. Raises UsageError, naming the known ones, for the first mistake."""
    config_class = component.config_class()
    try:
        config: BaseModel = config_class.model_validate(dict(options))
    except ValidationError as error:
        first = error.errors()[0]
        known = ", ".join(config_class.model_fields) or "none"
        key = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"--option {key}: {first['msg']} (options of {component.name}: {known})") from None
    return config
