"""The files a configuration is read from: the one that was named, and those it `extends`, the base first."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli

from nanochat_framework.config import toml_lines
from nanochat_framework.config.merge import copied, merge
from nanochat_framework.config.presets import find_config, preset_name
from nanochat_framework.config.toml_text import toml_sections
from nanochat_framework.errors import ConfigError, Problem, UsageError
from nanochat_framework.machine.reading import read_named

EXTENDS = "extends"
"""The key at the top of a file that names the file below it."""


@dataclass(frozen=True)
class Layer:
    """One file. `data` is its parsed TOML without `extends`, `lines` where each key stands.

    `preset` is the preset's name where the file was found by it.
    """

    path: Path
    preset: str | None
    source: bytes
    data: Mapping[str, Any]
    lines: Mapping[toml_lines.Path, int]

    def holds(self, path: toml_lines.Path) -> bool:
        """Whether this file says something at a path."""
        return holds(self.data, path)

    def line(self, path: toml_lines.Path) -> int | None:
        """Line of a path, or of the nearest table around it that has one."""
        return toml_lines.line_of(self.lines, path)

    def where(self, path: toml_lines.Path) -> str:
        """`file:line`, for messages."""
        line = self.line(path)
        return f"{self.path}:{line}" if line else str(self.path)


def read_layers(target: str | Path) -> list[Layer]:
    """A path or a preset's name with all it extends, the base first.

    Raises UsageError if the target is nowhere, ConfigError, at the `extends` line, if what it names is nowhere or leads
    in a circle.
    """
    layers: list[Layer] = []
    path, preset = find_config(target), preset_name(target)
    below: Any = ""
    while below is not None:
        layer, below = _read_layer(path, preset)
        layers.append(layer)
        if below is not None:
            path, preset = _find_below(layers, below)
    return layers[::-1]


def merged(layers: Sequence[Layer]) -> dict[str, Any]:
    """What the layers say together; theirs to keep, so it may be changed."""
    data: dict[str, Any] = {}
    for layer in layers:
        data = merge(data, layer.data)
    found: dict[str, Any] = copied(data)
    return found


def holds(data: Mapping[str, Any], path: toml_lines.Path) -> bool:
    """Whether there is something at a path; a component's bare name says its `name`."""
    node: Any = data
    for depth, part in enumerate(path):
        if isinstance(node, str) and path[depth:] == ("name",):
            return True
        try:
            node = node[part]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def owner_of(layers: Sequence[Layer], data: Mapping[str, Any], path: toml_lines.Path) -> Layer:
    """The file that the merged value at a path comes from; for what is nowhere, the file of the table it is missing in.

    A component's table is that of the file which names the component.
    """
    while not holds(data, path):
        path = path[:-1]
    for wanted in ((*path, "name"), path):
        for layer in reversed(layers):
            if path and holds(data, wanted) and layer.holds(wanted):
                return layer
    return layers[-1]


def _read_layer(path: Path, preset: str | None) -> tuple[Layer, Any]:
    """A file, and what its `extends` says; None without one."""
    source = _read(path)
    if path.suffix == ".json":
        data = _parse_frozen(path, source)
        return Layer(path, preset, "\n".join(toml_sections(data)).encode(), data, {}), None
    text, data = _parse(path, source)
    below = data.pop(EXTENDS, None)
    return Layer(path, preset, source, data, toml_lines.key_lines(text)), below


def _find_below(layers: Sequence[Layer], below: Any) -> tuple[Path, str | None]:
    """The file that the last layer extends, and its preset's name if it is one. Raises ConfigError at its line."""
    layer = layers[-1]

    def refuse(message: str) -> ConfigError:
        return ConfigError([Problem(layer.where((EXTENDS,)), EXTENDS, message)])

    if not isinstance(below, str) or not below:
        raise refuse('expected the path of a TOML file or the name of a preset, like "base.toml"')
    try:
        path = find_config(below, layer.path.parent)
    except UsageError as error:
        raise refuse(str(error)) from None
    files = [each.path for each in layers]
    if any(path.resolve() == file.resolve() for file in files):
        raise refuse(f"the files extend each other in a circle: {' -> '.join(map(str, [*files, path]))}")
    return path, preset_name(below, layer.path.parent)


def _read(path: Path) -> bytes:
    try:
        return read_named(path)
    except IsADirectoryError:
        raise UsageError(f"{path}: is a folder, not a TOML file") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from None


def _parse_frozen(path: Path, source: bytes) -> dict[str, Any]:
    """The configuration of a run as it was frozen; JSON, without lines that a person would know."""
    try:
        data = json.loads(source)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise UsageError(f"{path}: holds no configuration of a run")
    return data


def _parse(path: Path, source: bytes) -> tuple[str, dict[str, Any]]:
    try:
        text = source.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = source[: error.start].count(b"\n") + 1
        raise ConfigError([Problem(f"{path}:{line}", "", "not UTF-8 text")]) from None
    try:
        return text, tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        raise ConfigError([Problem(f"{path}:{error.lineno}", "", f"not TOML: {error.msg}")]) from None
    except ValueError as error:  # an integer of more digits than Python reads
        raise ConfigError([Problem(str(path), "", f"not TOML that can be read: {error}")]) from None
    except RecursionError:
        raise ConfigError([Problem(str(path), "", "not TOML that can be read: nested too deeply")]) from None
