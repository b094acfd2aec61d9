"""Reading a configuration: TOML and `--set` in, a validated `RunConfig` out, every mistake at once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from nanochat_framework.config.budgets import settle
from nanochat_framework.config.checks import cross_checks, warnings_about
from nanochat_framework.config.derivation import derive_model
from nanochat_framework.config.known_keys import KnownKeys
from nanochat_framework.config.layers import Layer, merged, read_layers
from nanochat_framework.config.origins import Provenance
from nanochat_framework.config.overrides import Override, apply_overrides
from nanochat_framework.config.presets import FROZEN
from nanochat_framework.config.problems import Location, all_absent, explain
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.config.selection import Selected
from nanochat_framework.config.toml_lines import dotted
from nanochat_framework.errors import ConfigError, Problem, UsageError
from nanochat_framework.plugins.registry import Registry


@dataclass(frozen=True)
class LoadedConfig:
    """A validated configuration and what it came from."""

    config: RunConfig
    layers: tuple[Layer, ...]
    overrides: tuple[str, ...]
    warnings: tuple[str, ...]
    provenance: Provenance

    @property
    def path(self) -> Path:
        """The file that was named."""
        return self.layers[-1].path

    @property
    def label(self) -> str:
        """What runs of it are called: the file's name, or that of the run whose configuration it was."""
        return self.path.parent.name if self.path.name == FROZEN else self.path.stem


def load_config(target: str | Path, *, registry: Registry, overrides: Sequence[str | Override] = ()) -> LoadedConfig:
    """Load a TOML file, or a preset by name, with all it extends and with overrides applied.

    Raises ConfigError with one line for each mistake (exit code 4 if all of them are plugins that are not there), or
    UsageError if there is no such file or preset.
    """
    layers = read_layers(target)
    data = merged(layers)
    applied, problems = apply_overrides(data, overrides)
    provenance = Provenance(layers, data, applied)
    provenance.derived |= derive_model(data, registry, provenance.rank)
    try:
        config = validate(data, registry, provenance.where)
    except ConfigError as error:
        if not problems:
            raise
        raise ConfigError([*problems, *error.problems]) from None
    settled = settle(config)
    config = settled.config
    provenance.derived |= settled.derived
    problems += [Problem(provenance.where(at), dotted(at), message) for at, message in settled.problems]
    problems += cross_checks(config, provenance.where) if not settled.problems else []
    if problems:
        raise ConfigError(problems)
    texts = tuple(given if isinstance(given, str) else given.text for given in overrides)
    return LoadedConfig(config, tuple(layers), texts, tuple(warnings_about(config)), provenance)


def validate(data: Any, registry: Registry, where: Callable[[Location], str]) -> RunConfig:
    """Validate parsed data. Raises ConfigError; exit code 4 if all that is wrong is a plugin that is not there."""
    try:
        return RunConfig.model_validate(data, context={"registry": registry})
    except ValidationError as error:
        problems = explain(error, data, where, KnownKeys(data, registry))
        raise ConfigError(problems, exit_code=4 if all_absent(error) else 2) from None


def read_resolved(path: Path, *, registry: Registry) -> RunConfig:
    """The configuration frozen in a run. Raises ConfigError if it no longer validates (a plugin went missing)."""
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: cannot be read ({error})") from None
    if not isinstance(data, dict):
        raise UsageError(f"{path}: holds no configuration")
    try:
        return validate(data, registry, lambda location: str(path))
    except ConfigError as error:
        gone = owners_of_missing(str(error), _lock_beside(path))
        problems = (*error.problems, *(Problem(str(path), "", line) for line in gone))
        raise ConfigError(problems, exit_code=error.exit_code) from None


def owners_of_missing(complaint: str, lock: Any) -> list[str]:
    """Where the components that a complaint calls unknown came from, a line each, by the lock of what named them."""
    rows = [row for row in lock if isinstance(row, dict)] if isinstance(lock, list) else []
    return [
        f"{row['kind']} {row['name']!r} came with {row.get('distribution')} {row.get('version')}; install that again"
        for row in rows
        if f"unknown {row.get('kind')} {row.get('name')!r}" in complaint
    ]


def _lock_beside(path: Path) -> Any:
    try:
        return json.loads(path.with_name("components.lock.json").read_bytes())
    except (OSError, ValueError, RecursionError):  # it only helps to explain another error
        return None


def components_lock(config: RunConfig) -> list[dict[str, Any]]:
    """Plugin, distribution and version of every component that a configuration names."""
    rows = []
    for selected in selections(config):
        component = selected.component
        row = {
            "kind": component.kind,
            "name": component.name,
            "plugin": component.plugin,
            "distribution": component.distribution,
            "version": component.version,
            "schema_version": component.schema_version,
        }
        if row not in rows:
            rows.append(row)
    return rows


def selections(node: Any) -> Iterator[Selected[Any]]:
    """Every component selected in a configuration, outer ones first."""
    if isinstance(node, Selected):
        yield node
        yield from selections(node.config)
    elif isinstance(node, BaseModel):
        for name in type(node).model_fields:
            yield from selections(getattr(node, name))
    elif isinstance(node, Mapping):
        for value in node.values():
            yield from selections(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from selections(value)
