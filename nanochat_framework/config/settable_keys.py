"""The keys that `--set` may name for a configuration, with what they mean.

Tab asks for them, and importing pydantic takes longer than a person waits. So sections and our own components are looked up
in the JSON Schema that is committed for editors, and only a stranger's component is imported.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from nanochat_framework.config.layers import merged, read_layers
from nanochat_framework.config.presets import presets_dir
from nanochat_framework.plugins.discovery import OWN_DISTRIBUTION
from nanochat_framework.plugins.registry import Registry

Keys = dict[str, str]


def settable_keys(target: str | None, registry: Registry) -> Keys:
    """Dotted key -> description: those of the plain sections, and what the components of a configuration have.

    Args:
        target: the path of a TOML file or the name of a preset; None: the sections alone.
        registry: where components are looked up; one that is not there, or is broken, has no keys.

    Raises UsageError or ConfigError if the target cannot be read.
    """
    schema = _CommittedSchema()
    keys = {f"{section}.{key}": text for section, inner in schema.sections().items() for key, text in inner.items()}
    if target is not None:
        for path, key, name in _components(merged(read_layers(target))):
            inner = schema.component(key, name) if _is_ours(registry, key, name) else None
            if inner is None:
                inner = _imported(key, name, registry)
            keys.update({f"{path}.{each}": text for each, text in inner.items()})
    return keys


class _CommittedSchema:
    """configs/nanochat.schema.json, which a wheel has beside the presets."""

    def __init__(self) -> None:
        self._definitions = json.loads((presets_dir().parent / "nanochat.schema.json").read_bytes())["$defs"]

    def sections(self) -> dict[str, Keys]:
        """The sections that are plain tables."""
        sections = self._definitions["configuration"]["properties"].items()
        return {name: _described(section) for name, section in sections if "properties" in section}

    def component(self, key: str, name: str) -> Keys | None:
        """The keys of a component in the table under `key`; None where it is not in the schema."""
        tables = self._definitions.get(key, self._definitions.get(f"{key}-rule", {})).get("anyOf", [])
        for table in tables:
            if table.get("properties", {}).get("name", {}).get("const") == name:
                return {each: text for each, text in _described(table).items() if each != "name"}
        return None


def _described(table: Mapping[str, Any]) -> Keys:
    return {key: about.get("description", "") for key, about in table["properties"].items()}


def _is_ours(registry: Registry, key: str, name: str) -> bool:
    return name in registry.names(key) and registry.get(key, name).distribution == OWN_DISTRIBUTION


def _imported(key: str, name: str, registry: Registry) -> Keys:
    from nanochat_framework.config.known_keys import component_keys

    try:
        return component_keys(key, name, registry)
    except (Exception, SystemExit):
        return {}


def _components(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, str, str]]:
    """(dotted path, key, name) of each table that names a component; the key is the last part that is no index."""
    if isinstance(node, Mapping):
        if path and isinstance(node.get("name"), str):
            yield ".".join(path), next(part for part in reversed(path) if not part.isdigit()), node["name"]
        for key, value in node.items():
            yield from _components(value, (*path, str(key)))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _components(value, (*path, str(index)))
