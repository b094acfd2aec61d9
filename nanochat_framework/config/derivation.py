"""Keys that are computed from other keys: which, from what, and filling them into what a person wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nanochat_framework.config.component import ModelConfig
from nanochat_framework.config.selection import Select
from nanochat_framework.config.toml_lines import Path
from nanochat_framework.plugins.registry import Registry


@dataclass(frozen=True)
class Derivation:
    """Where a computed value comes from: the key that asked for it, and how to say so."""

    source: Path
    text: str


def derive_model(data: dict[str, Any], registry: Registry, rank: Callable[[Path], int]) -> dict[Path, Derivation]:
    """Fill in, in place, the sizes that `[model]` asks its component to compute; returns what was filled in.

    A size that is given stays, unless a file below the one that asks gives it (`rank`: how late a key was said). Sizes of
    a part (`attention`, `ffn`) are filled in where the part that was chosen has such keys.
    """
    table = data.get("model")
    cls = _config_class(registry, "model", table)
    if not isinstance(table, dict) or cls is None or not issubclass(cls, ModelConfig):
        return {}
    key = cls.derives_from
    if key not in table:
        return {}
    made = Derivation(("model", key), f"model.{key} = {table[key]}")
    asked = rank(made.source)
    fill = _Filling(registry, lambda path: rank(path) >= asked)
    return dict.fromkeys(fill.table(("model",), table, cls.derived(table), cls), made)


@dataclass(frozen=True)
class _Filling:
    registry: Registry
    stays: Callable[[Path], bool]

    def table(self, path: Path, table: dict[str, Any], values: Mapping[str, Any], cls: type[Any]) -> Iterator[Path]:
        """Set what does not stay; the paths that were set."""
        for key, value in values.items():
            if isinstance(value, Mapping):
                yield from self._part((*path, key), table, value, cls)
            elif key not in table or not self.stays((*path, key)):
                table[key] = value
                yield (*path, key)

    def _part(self, path: Path, table: dict[str, Any], values: Mapping[str, Any], cls: type[Any]) -> Iterator[Path]:
        """Set the keys of the component that stands at a path."""
        key = str(path[-1])
        kind = next((item.kind for item in cls.model_fields[key].metadata if isinstance(item, Select)), None)
        chosen = table.get(key)
        part = {"name": chosen} if isinstance(chosen, str) else chosen
        inner = None if kind is None else _config_class(self.registry, kind, part)
        if inner is not None and isinstance(part, dict):
            table[key] = part
            yield from self.table(path, part, {k: v for k, v in values.items() if k in inner.model_fields}, inner)


def _config_class(registry: Registry, kind: str, table: Any) -> type[Any] | None:
    """The configuration of the component that a table names; None where validation will find fault with it."""
    name = table.get("name") if isinstance(table, Mapping) else None
    if not isinstance(name, str):
        return None
    try:
        return registry.get(kind, name).config_class()
    except (Exception, SystemExit):  # unknown, or a stranger's module that raises anything; validation says what
        return None
