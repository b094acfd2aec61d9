"""A component under test: its record, the registry it is in, and settings with which it can be built."""

from __future__ import annotations

import random
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any
from unittest import SkipTest

from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

from nanochat_framework.config.selection import Select, Selected
from nanochat_framework.errors import UsageError
from nanochat_framework.model.describe import Place
from nanochat_framework.plugins.component import Component
from nanochat_framework.plugins.registry import Registry
from nanochat_framework.testing.example_files import has_example, written

PLACE = Place("blocks.0.part.", dim=32, n_layers=2, max_seq_len=64, layer=0)
"""Where parts of models are built for the suite."""


@dataclass(frozen=True)
class Subject:
    """A component and what is set of it; `str()` is `kind name`.

    `settings` holds at least what has no default. Where an author gives none, they are the examples of the fields
    (`Field(examples=[4], ...)`), or that of the whole table, where fields must go together
    (`model_config = {"json_schema_extra": {"examples": [{...}]}}`); a field that selects a component gets the first
    of that kind. A source that is registered with an example gets files of its own format, which live as long as the subject.
    """

    component: Component
    registry: Registry
    settings: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, kind: str, name: str, registry: Registry, settings: Mapping[str, Any] | None = None) -> Subject:
        """The component of that name, with settings on top of its examples.

        Raises UnknownComponent, AssertionError, and SkipTest for examples that need a package which is not installed.
        """
        component = registry.get(kind, name)
        given, folder = dict(settings or {}), None
        if has_example(component):
            folder = tempfile.mkdtemp(prefix="nanochat-contract-")
            given = {**written(component, Path(folder))[0], **given}
        subject = cls(component, registry, {**example_settings(component, registry, given), **given})
        if folder is not None:
            weakref.finalize(subject, shutil.rmtree, folder, ignore_errors=True)
        return subject

    def __str__(self) -> str:
        return f"{self.component.kind} {self.component.name}"

    @property
    def config(self) -> Any:
        """The validated configuration."""
        return self.selected().config

    def selected(self, settings: Mapping[str, Any] | None = None) -> Selected[Any]:
        """The component with settings (default: its own), validated as a TOML table is. Raises pydantic's errors."""
        table = {"name": self.component.name, **(self.settings if settings is None else settings)}
        return _selected(self.component.kind, table, self.registry)

    def build(self, config: Any = None, **runtime: Any) -> Any:
        """Build it, the same at each call. Raises SkipTest where it says which package is to be installed for it."""
        factory = self.component.load_factory()
        config = self.config if config is None else config
        try:
            return _same_random(factory, config, runtime)
        except UsageError as error:
            if "pip install" in str(error):
                raise SkipTest(str(error)) from None
            raise


def example_settings(component: Component, registry: Registry, given: Mapping[str, Any]) -> dict[str, Any]:
    """A value for each setting that has no default and is not among those `given`."""
    config_class = component.config_class()
    extra = config_class.model_config.get("json_schema_extra")
    if isinstance(extra, Mapping) and extra.get("examples"):
        return dict(extra["examples"][0])
    fields = config_class.model_fields
    return {
        name: _example(component, name, info, registry)
        for name, info in fields.items()
        if info.is_required() and name not in given
    }


def _example(component: Component, name: str, info: FieldInfo, registry: Registry) -> Any:
    if info.examples:
        return info.examples[0]
    select = next((each for each in info.metadata if isinstance(each, Select)), None)
    if select is not None:
        for other in registry.components(select.kind):
            if (other.kind, other.name) != (component.kind, component.name):
                return {"name": other.name, **example_settings(other, registry, {})}
    raise AssertionError(
        f"{component.kind} {component.name}: the setting {name!r} has neither a default nor an example; write "
        f"Field(examples=[...], ...) in {component.config}, or hand the suite settings={{{name!r}: ...}}"
    )


def _selected(kind: str, table: Mapping[str, Any], registry: Registry) -> Selected[Any]:
    adapter: TypeAdapter[Selected[Any]] = TypeAdapter(Annotated[Selected[Any], Select(kind)])
    return adapter.validate_python(table, context={"registry": registry})


def _same_random(factory: Any, config: BaseModel, runtime: Mapping[str, Any]) -> Any:
    """Call a factory with torch's and Python's random numbers set, and put them back."""
    import torch

    before = random.getstate()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        random.seed(0)
        try:
            return factory(config, **runtime)
        finally:
            random.setstate(before)
