"""Which keys there are: those of the sections, and those of the components that a configuration names.

Only messages about unknown and missing keys need this, so it is put together after validation failed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from nanochat_framework.config.component import table_within
from nanochat_framework.config.data_section import PhaseSection, SourceRule
from nanochat_framework.config.layers import EXTENDS
from nanochat_framework.config.rules import OptimizerRule, QuantizerRule, TokenFilterTable
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.plugins.registry import Registry

_RULES: dict[str, type[BaseModel]] = {
    "optimizer": OptimizerRule,
    "quantizer": QuantizerRule,
    "sources": SourceRule,
    "token_filter": TokenFilterTable,
}
_KINDS = {"sources": "source"}
"""Keys of components that are called otherwise than the kind."""


@dataclass(frozen=True)
class Owner:
    """Something that has keys: how messages call it, and its keys with their descriptions."""

    label: str
    keys: Mapping[str, str]


class KnownKeys:
    """Keys by owner: `[train]`, `optimizer muon`."""

    def __init__(self, data: Mapping[str, Any], registry: Registry) -> None:
        self._owners = {f"[{name}]": Owner(f"[{name}]", keys) for name, keys in section_keys()}
        self._owners["[phase]"] = Owner("[[data.phase]]", descriptions(PhaseSection))
        self._homes: dict[str, Owner] = {f"under {owner.label}": owner for owner in self._owners.values()}
        self._homes["at the top of a file, before any [table]"] = Owner("a file", {EXTENDS: "The file below this one."})
        for key, name in _named(data):
            kind = _KINDS.get(key, key)
            try:
                keys = component_keys(key, name, registry)
            except (Exception, SystemExit):  # unknown or broken: validation has said so
                continue
            self._add_tables_within(registry.get(kind, name).config_class())
            if key in _RULES:
                self._add_tables_within(_RULES[key])
            label = f"{kind} {name}"
            self._owners[f"{key} {name}"] = Owner(label, keys)
            header = section_header(kind) if kind in RunConfig.model_fields else label
            self._homes.setdefault(f"under {header}", Owner(label, keys))

    def _add_tables_within(self, model: type[BaseModel]) -> None:
        """Tables that stand under a key of `model` and are no components: `warmup = { ... }`."""
        for name, field in model.model_fields.items():
            table = table_within(field)
            if table is not None:
                self._owners.setdefault(f"[{name}]", Owner(name, descriptions(table)))

    def owner(self, section: str, name: Any) -> Owner:
        """The owner of a table found under the key `section` that names the component `name`."""
        label = f"{section} {name}" if name is not None else f"[{section}]"
        return self._owners.get(label) or self._owners.get(f"[{section}]") or Owner(label, {})

    def homes(self, key: str, but: str = "") -> list[str]:
        """Where a key belongs, other than to the owner labelled `but`: "under [train]"."""
        return [home for home, owner in self._homes.items() if key in owner.keys and owner.label != but]


def is_array_of_tables(section: str) -> bool:
    """Whether a section is written `[[section]]`."""
    field = RunConfig.model_fields.get(section)
    return field is not None and str(field.annotation).startswith("tuple")


def section_header(section: str) -> str:
    """How a section is written."""
    return f"[[{section}]]" if is_array_of_tables(section) else f"[{section}]"


def section_keys() -> Iterator[tuple[str, dict[str, str]]]:
    """Each section that is a plain table, with its keys and their descriptions."""
    for name, field in RunConfig.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield name, descriptions(field.annotation)


def component_keys(key: str, name: str, registry: Registry) -> dict[str, str]:
    """The keys of the table under `key` that names a component, with those of the rule around it.

    Raises UnknownComponent, and whatever a stranger's module raises.
    """
    own = descriptions(registry.get(_KINDS.get(key, key), name).config_class())
    return {**descriptions(_RULES[key]), **own} if key in _RULES else own


def descriptions(model: type[BaseModel]) -> dict[str, str]:
    """The keys of a table with their descriptions."""
    return {name: field.description or "" for name, field in model.model_fields.items() if not field.exclude}


def _named(node: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """(key, name) of everything that may be a component: tables with a name, and strings, under their keys."""
    if isinstance(node, Mapping):
        if isinstance(node.get("name"), str):
            yield key, node["name"]
        for inner, value in node.items():
            if isinstance(value, str) and inner != "name":
                yield str(inner), value
            below = "schedule" if key == "schedules" else str(inner)
            yield from _named(value, below)
    elif isinstance(node, list):
        for value in node:
            yield from _named(value, key)
