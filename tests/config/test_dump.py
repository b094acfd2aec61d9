"""Any configuration survives TOML -> object -> TOML; the configurations are made from the fields of the components."""

from __future__ import annotations

import copy
from types import UnionType
from typing import Any, Literal, Union, cast, get_args, get_origin

import pytest
import tomli
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from nanochat_framework.config.dump import dump_toml
from nanochat_framework.config.load import load_config
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.config.selection import Select
from nanochat_framework.errors import ConfigError
from nanochat_framework.plugins import Component, load_plugins
from tests.conftest import TINY

REGISTRY = load_plugins(environ={"NANOCHAT_LOAD_PLUGINS": ""}).registry
PLACES: dict[str, tuple[str | int, ...]] = {
    "model": ("model",),
    "attention": ("model", "attention"),
    "ffn": ("model", "ffn"),
    "norm": ("model", "norm"),
    "residual": ("model", "residual"),
    "objective": ("objective",),
    "token_filter": ("token_filter",),
    "optimizer": ("optimizer",),
    "quantizer": ("quantizer",),
    "schedule": ("schedule",),
    "source": ("data", "source"),
    "callback": ("callback",),
}
COMPONENTS = [
    component
    for kind in PLACES
    for component in REGISTRY.components(kind)
    if component.traits.get("yields") != "documents"
]
"""All that a configuration can name: sources of documents are for `prepare-data`."""


def bounds(metadata: list[Any]) -> dict[str, Any]:
    flat = [each for item in metadata for each in (item.metadata if isinstance(item, FieldInfo) else [item])]
    return {
        name: getattr(constraint, name)
        for constraint in flat
        for name in ("gt", "ge", "lt", "le", "multiple_of", "min_length")
        if hasattr(constraint, name)
    }


def values_of(annotation: Any, metadata: list[Any]) -> st.SearchStrategy[Any]:
    """Values of a field's type, within its bounds, as TOML would hold them."""
    selected = next((item for item in metadata if isinstance(item, Select)), None)
    if selected is not None:
        return st.sampled_from(REGISTRY.components(selected.kind)).flatmap(table_of)
    if hasattr(annotation, "__metadata__"):
        return values_of(annotation.__origin__, list(annotation.__metadata__))
    limit, arguments = bounds(metadata), get_args(annotation)
    if get_origin(annotation) is Literal:
        return st.sampled_from(arguments)
    if get_origin(annotation) is tuple:
        if arguments[-1] is Ellipsis:
            return st.lists(values_of(arguments[0], []), min_size=limit.get("min_length", 0), max_size=3)
        return st.tuples(*(values_of(argument, []) for argument in arguments)).map(list)
    if get_origin(annotation) in (Union, UnionType):
        return st.one_of(*(values_of(each, metadata) for each in arguments if each is not type(None)))
    if annotation is bool:
        return st.booleans()
    if annotation is str:
        return st.text(max_size=8)
    if annotation is int:
        step = limit.get("multiple_of", 1)
        least = max(limit.get("ge", -3), limit.get("gt", -4) + 1)
        most = min(limit.get("le", least + 40), limit.get("lt", least + 41) - 1)
        return st.integers(-(-least // step), most // step).map(lambda number: number * step)
    if annotation is float:
        low, high = limit.get("ge", limit.get("gt")), limit.get("le", limit.get("lt"))
        return st.floats(
            low, high, exclude_min="gt" in limit, exclude_max="lt" in limit, allow_nan=False, allow_infinity=False
        )
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return fields_of(annotation)
    raise AssertionError(f"this test cannot make a {annotation}; teach it")


def table_of(component: Component) -> st.SearchStrategy[dict[str, Any]]:
    return fields_of(component.config_class(), name=st.just(component.name))


def fields_of(model: type[BaseModel], **further: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    fields: dict[str, FieldInfo] = model.model_fields
    required = {name: values_of(f.annotation, f.metadata) for name, f in fields.items() if f.is_required()}
    optional = {name: values_of(f.annotation, f.metadata) for name, f in fields.items() if not f.is_required()}
    return st.fixed_dictionaries({**further, **required}, optional=optional)


def placed(component: Component, table: dict[str, Any]) -> dict[str, Any]:
    data = copy.deepcopy(TINY)
    *parents, last = PLACES[component.kind]
    node: Any = data
    for parent in parents:
        node = node[parent]
    if component.kind == "quantizer":
        node[last] = [{"match": "*", **table}]
    elif component.kind == "optimizer":  # some take matrices only
        node[last] = [{"match": "matrix", **table}, {"match": "*", "name": "lion"}]
    elif component.kind in ("objective", "callback"):
        node[last] = [table]
    else:
        node[last] = table
    return data


def test_every_kind_of_the_configuration_is_tried() -> None:
    kinds = {component.kind for component in COMPONENTS}
    assert kinds >= {"model", "attention", "ffn", "norm", "residual", "optimizer", "quantizer", "schedule", "source"}


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda c: f"{c.kind}-{c.name}")
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(draw=st.data())
def test_it_survives_toml(component: Component, draw: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    data = placed(component, draw.draw(table_of(component)))
    try:
        config = RunConfig.model_validate(data, context={"registry": REGISTRY})
    except ValidationError as error:
        kinds = {item["type"] for item in error.errors()}
        assert not any(kind.endswith("_type") or kind in ("missing", "extra_forbidden") for kind in kinds), kinds
        assume(False)
    text = dump_toml(config)
    read = tomli.loads(text)
    assert read == {key: value for key, value in config.to_dict().items() if value != []}
    path = tmp_path_factory.getbasetemp() / f"{component.kind}-{component.name}.toml"
    path.write_text(text, encoding="utf-8")
    try:
        again = load_config(path, registry=REGISTRY).config
    except ConfigError as error:
        assert all(problem.path in ("data.seq_len", "optimizer") for problem in error.problems), str(error)
    else:
        assert again == config
        assert dump_toml(again) == text


SCALARS = st.one_of(st.text(), st.integers(), st.booleans(), st.floats(allow_nan=False, allow_infinity=False))


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        SCALARS,
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
        max_leaves=8,
    )
)
def test_any_value_is_written_as_it_is(value: Any) -> None:
    class Whole:
        def to_dict(self) -> dict[str, Any]:
            return {"a section": {"v": value}, "sections": [{"v": value}]}

    assert tomli.loads(dump_toml(cast(RunConfig, Whole()))) == Whole().to_dict()
