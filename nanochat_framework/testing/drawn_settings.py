"""Settings at random, drawn from the JSON schema of a configuration around an example that is known to be valid."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from nanochat_framework.config.selection import COMPONENT_MARK
from nanochat_framework.errors import UsageError
from nanochat_framework.testing.subject import Subject

try:
    from hypothesis import HealthCheck, Phase, assume, example, given, settings
    from hypothesis import strategies as st
except ImportError as error:  # the one package that authors need and that training does not
    raise UsageError(
        "the contract suite draws settings with hypothesis: pip install 'nanochat-framework[testing]'"
    ) from error

Schema = Mapping[str, Any]
LARGEST = 1 << 16
"""Numbers without an upper bound are drawn up to this: larger ones say nothing new and overflow sizes."""


def for_settings(subject: Subject, check: Callable[[dict[str, Any]], None], *, examples: int = 25) -> None:
    """Call `check` with the subject's own settings, then with `examples` others that its configuration takes.

    The same ones each time, so that a suite that passed passes again; a failure is shown with the smallest settings.
    """

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(settings_of(subject))
    @example(dict(subject.settings))
    def drawn(chosen: dict[str, Any]) -> None:
        try:
            subject.selected(chosen)
        except ValidationError:  # fields that do not go together
            assume(False)
        check(chosen)

    drawn()


def settings_of(subject: Subject) -> st.SearchStrategy[dict[str, Any]]:
    """The subject's settings with some fields drawn anew. What a field cannot be drawn from stays as it is."""
    schema = subject.component.config_class().model_json_schema()
    definitions = schema.get("$defs", {})
    drawn = {
        name: values
        for name, field in schema.get("properties", {}).items()
        if (values := _values(field, definitions)) is not None
    }

    @st.composite
    def table(draw: st.DrawFn) -> dict[str, Any]:
        chosen = draw(st.sets(st.sampled_from(sorted(drawn)), max_size=3)) if drawn else set()
        return {**subject.settings, **{name: draw(drawn[name]) for name in sorted(chosen)}}

    return table()


def _values(schema: Schema, definitions: Mapping[str, Schema]) -> st.SearchStrategy[Any] | None:
    """Values that a schema allows; None for text and tables, whose meaning it does not tell."""
    if "$ref" in schema:
        return _values(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if COMPONENT_MARK in schema:
        return None
    if "anyOf" in schema:
        each = [_values(option, definitions) for option in schema["anyOf"] if option.get("type") != "null"]
        known = [values for values in each if values is not None]
        return st.one_of(*known) if known else None
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema.get("type"):
        case "boolean":
            return st.booleans()
        case "integer":
            return _integers(schema)
        case "number":
            return _numbers(schema)
        case "array":
            return _arrays(schema, definitions)
    return None


def _integers(schema: Schema) -> st.SearchStrategy[int]:
    low = schema.get("minimum", schema.get("exclusiveMinimum", -LARGEST - 1) + 1)
    high = schema.get("maximum", schema.get("exclusiveMaximum", LARGEST + 1) - 1)
    step = schema.get("multipleOf", 1)
    return st.integers(-(-low // step), high // step).map(lambda number: number * step)


def _numbers(schema: Schema) -> st.SearchStrategy[float]:
    return st.floats(
        schema.get("minimum", schema.get("exclusiveMinimum", -float(LARGEST))),
        schema.get("maximum", schema.get("exclusiveMaximum", float(LARGEST))),
        exclude_min="exclusiveMinimum" in schema,
        exclude_max="exclusiveMaximum" in schema,
        allow_nan=False,
        allow_infinity=False,
    )


def _arrays(schema: Schema, definitions: Mapping[str, Schema]) -> st.SearchStrategy[list[Any]] | None:
    if "prefixItems" in schema:
        parts = [_values(each, definitions) for each in schema["prefixItems"]]
        known = [part for part in parts if part is not None]
        return st.tuples(*known).map(list) if len(known) == len(parts) else None
    items = _values(schema.get("items", {}), definitions)
    if items is None:
        return None
    low = schema.get("minItems", 0)
    return st.lists(items, min_size=low, max_size=schema.get("maxItems", low + 3))
