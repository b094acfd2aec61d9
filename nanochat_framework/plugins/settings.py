"""Settings of a component that were given on the command line, validated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from nanochat_framework.errors import UsageError
from nanochat_framework.plugins.component import Component


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
