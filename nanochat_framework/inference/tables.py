"""The `[model]` and `[[quantizer]]` tables that a checkpoint or a file carries, validated again.

Only these two: a model can be used where the optimizer or the data source it was trained with is not installed.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError

from nanochat_framework.config.problems import all_absent
from nanochat_framework.config.rules import QuantizerRule
from nanochat_framework.config.selection import Select, Selected
from nanochat_framework.errors import ConfigError, Problem
from nanochat_framework.plugins.registry import Registry

_MODEL: TypeAdapter[Selected[Any]] = TypeAdapter(Annotated[Selected[Any], Select("model")])
_QUANTIZERS: TypeAdapter[tuple[QuantizerRule, ...]] = TypeAdapter(tuple[QuantizerRule, ...])


def select_model(table: Any, where: str, registry: Registry) -> Selected[Any]:
    """The model of a `[model]` table. Raises ConfigError, beginning with `where`, for the first mistake in it.

    A component that no installed plugin has is such a mistake; the message names it, and the exit code is 4.
    """
    selected: Selected[Any] = _validate(_MODEL, table, where, registry)
    return selected


def select_quantizers(tables: Any, where: str, registry: Registry) -> tuple[QuantizerRule, ...]:
    """The rules of `[[quantizer]]` tables. Raises ConfigError as `select_model` does."""
    rules: tuple[QuantizerRule, ...] = _validate(_QUANTIZERS, tables, where, registry)
    return rules


def _validate(adapter: TypeAdapter[Any], value: Any, where: str, registry: Registry) -> Any:
    try:
        return adapter.validate_python(value, context={"registry": registry})
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(part) for part in first["loc"])
        raise ConfigError([Problem(where, path, first["msg"])], exit_code=4 if all_absent(error) else 2) from None
