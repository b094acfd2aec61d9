"""Where each value comes from: a file and line, a preset, `--set`, another key, or nobody, which leaves the default."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from nanochat_framework.config.derivation import Derivation
from nanochat_framework.config.layers import Layer, holds, owner_of
from nanochat_framework.config.overrides import Override
from nanochat_framework.config.toml_lines import Path


@dataclass(frozen=True)
class Origin:
    """Where a value comes from.

    `detail` is the file, the preset's name, the flag, or what it was derived from; empty for a default.
    """

    kind: Literal["file", "preset", "set", "derived", "default"]
    detail: str = ""
    file: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        if self.kind == "derived":
            return f"derived from {self.detail}"
        line = "" if self.line is None else f":{self.line}"
        return {"preset": f"preset {self.detail}{line}", "default": "default"}.get(self.kind, f"{self.detail}{line}")

    def to_dict(self) -> dict[str, Any]:
        """Plain data, without what there is not."""
        found = {"kind": self.kind, "detail": self.detail or None, "file": self.file, "line": self.line}
        return {key: value for key, value in found.items() if value is not None}


@dataclass
class Provenance:
    """What a configuration was put together from. `data` is what files and overrides say together, before validation."""

    layers: Sequence[Layer]
    data: Mapping[str, Any]
    overrides: Sequence[Override]
    derived: dict[Path, Derivation] = field(default_factory=dict)
    """The keys that were computed from others."""

    def where(self, path: Path) -> str:
        """`file:line` of a key, or the flag that it has its value from; for messages."""
        if path in self.derived:
            path = self.derived[path].source
        blamed, length = None, -1
        for override in self.overrides:
            for claimed in (override.path, override.table):
                if claimed is not None and path[: len(claimed)] == claimed and len(claimed) >= length:
                    blamed, length = override, len(claimed)
        if blamed is None:  # a table is wrong as a whole: the last flag that changed something inside
            blamed = next((o for o in reversed(self.overrides) if o.path[: len(path)] == path), None)
        if blamed is not None:
            return blamed.flag or ("--set" if blamed.path == path else blamed.where)  # the key follows
        return owner_of(self.layers, self.data, path).where(path)

    def rank(self, path: Path) -> int:
        """How late a key was said: the number of its file, the base's 0; above them all if it was set. -1: nowhere."""
        if self._setter(path) is not None:
            return len(self.layers)
        return max((number for number, layer in enumerate(self.layers) if layer.holds(path)), default=-1)

    def origin(self, path: Path) -> Origin:
        """Where the value at a path of the resolved configuration comes from."""
        if path in self.derived:
            return Origin("derived", self.derived[path].text)
        if not holds(self.data, path):
            return Origin("default")
        override = self._setter(path)
        if override is not None:
            return Origin("set", override.flag or "--set")
        layer = owner_of(self.layers, self.data, path)
        file, line = str(layer.path), layer.line(path)
        if layer.preset is not None:
            return Origin("preset", layer.preset, file, line)
        return Origin("file", file, file, line)

    def _setter(self, path: Path) -> Override | None:
        """The override that has the last word about a key."""
        return next((o for o in reversed(self.overrides) if path[: len(o.path)] == o.path), None)


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every value of a resolved configuration with its path; an array is one value unless it holds tables."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    elif isinstance(value, list) and any(isinstance(inner, Mapping) for inner in value):
        for number, inner in enumerate(value):
            yield from leaves(inner, (*path, number))
    else:
        yield path, value
