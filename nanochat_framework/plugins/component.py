"""The record of one component: what it is called, who owns it, and where its two files are."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True)
class Component:
    """One registered part. References are absolute `module:object` strings, resolved only when somebody asks.

    `config` names a torch-free `ComponentConfig`, `factory` the callable that builds the implementation from it.
    `traits` holds the facts a registry may be asked for without importing anything (a kernel's priority, an importer's
    file suffixes).
    """

    kind: str
    name: str
    config: str
    factory: str
    summary: str
    plugin: str
    distribution: str
    version: str
    schema_version: int = 1
    traits: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def config_class(self) -> type[Any]:
        """Import the configuration class (torch-free). Raises ImportError or AttributeError if the reference is wrong."""
        loaded = resolve(self.config)
        assert isinstance(loaded, type), f"{self.config} is not a class"
        return loaded

    def load_factory(self) -> Callable[..., Any]:
        """Import the implementation; this is where torch and other heavy packages come in."""
        loaded = resolve(self.factory)
        assert callable(loaded), f"{self.factory} cannot be called"
        return loaded  # type: ignore[no-any-return]


def resolve(reference: str) -> Any:
    """Import `module:object`. Raises ImportError or AttributeError."""
    module_name, _, attribute = reference.partition(":")
    found: Any = importlib.import_module(module_name)
    for part in attribute.split("."):
        found = getattr(found, part)
    return found
