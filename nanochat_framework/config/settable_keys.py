"""The keys that `--set` may name for a configuration, with what they mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nanochat_framework.config.known_keys import descriptions, section_keys
from nanochat_framework.config.layers import merged, read_layers
from nanochat_framework.plugins.registry import Registry


def settable_keys(target: str | None, registry: Registry) -> dict[str, str]:
    """Dotted key -> description: those of the plain sections, and what the components of a configuration have.

    Args:
        target: the path of a TOML file or the name of a preset; None: the sections alone.
        registry: where components are looked up; one that is not there, or is broken, has no keys.

    Raises UsageError or ConfigError if the target cannot be read.
    """
    keys = {f"{section}.{key}": text for section, inner in section_keys() for key, text in inner.items()}
    if target is not None:
        for path, kind, name in _components(merged(read_layers(target))):
            try:
                inner = descriptions(registry.get(kind, name).config_class())
            except (Exception, SystemExit):
                continue
            keys.update({f"{path}.{key}": text for key, text in inner.items()})
    return keys


def _components(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, str, str]]:
    """(dotted path, kind, name) of each table that names a component; the kind is the last key that is no index."""
    if isinstance(node, Mapping):
        if path and isinstance(node.get("name"), str):
            yield ".".join(path), next(part for part in reversed(path) if not part.isdigit()), node["name"]
        for key, value in node.items():
            yield from _components(value, (*path, str(key)))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _components(value, (*path, str(index)))
