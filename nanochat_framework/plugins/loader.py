"""Finds and loads the plugins: one broken plugin is one line, never a broken program.

pluggy's own loader stops at the first plugin that raises and silently drops the second of two entry points of one
name (docs/decisions/0003), so this one loads each in its own try, times it, and commits its registrations only if all
of them are free of conflict.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pluggy

from nanochat_framework.plugins.api import PLUGIN_API_VERSION, PROJECT, PluginHooks
from nanochat_framework.plugins.component import Component
from nanochat_framework.plugins.registrar import Registrar
from nanochat_framework.plugins.registry import Conflict, Registry

ENTRY_POINT_GROUP = "nanochat"
OWN_DISTRIBUTION = "nanochat-framework"


@dataclass
class PluginStatus:
    """What became of one plugin. `state` is ok, disabled, failed, incompatible or shadowed."""

    name: str
    module: str
    distribution: str
    version: str
    state: str = "ok"
    reason: str = ""
    milliseconds: float = 0.0
    components: list[str] = field(default_factory=list)

    @property
    def first_party(self) -> bool:
        """Whether it came with this distribution."""
        return self.distribution == OWN_DISTRIBUTION

    def line(self) -> str:
        """`name: reason`, for warnings."""
        return f"{self.name} is {self.state}: {self.reason}"


@dataclass
class PluginHost:
    """The loaded plugins: the registry of their components and the state of each."""

    registry: Registry
    plugins: list[PluginStatus]
    manager: pluggy.PluginManager

    def warnings(self) -> list[str]:
        """One line for each plugin that should have loaded and did not."""
        return [p.line() for p in self.plugins if p.state in ("failed", "incompatible", "shadowed")]


def load_plugins(points: Iterable[EntryPoint] | None = None, *, environ: Mapping[str, str] = os.environ) -> PluginHost:
    """Load every plugin of the entry-point group `nanochat` (or the given `points`).

    `NANOCHAT_DISABLE_PLUGINS=a,b` leaves plugins out before they are imported; `NANOCHAT_LOAD_PLUGINS=a,b` loads, of
    the third-party ones, only those (empty: none).
    """
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(PluginHooks)
    registry = Registry()
    host = PluginHost(registry, [], manager)
    found = sorted(entry_points(group=ENTRY_POINT_GROUP) if points is None else points, key=_load_order)
    strangers: list[tuple[PluginStatus, list[Component]]] = []
    seen: dict[str, PluginStatus] = {}
    for point in found:
        status = _status(point)
        host.plugins.append(status)
        if point.name in seen:
            first = seen[point.name]
            status.state = "shadowed"
            status.reason = f"its name is already taken by {first.distribution} {first.version}"
            continue
        seen[point.name] = status
        if _is_disabled(status, environ):
            status.state, status.reason = "disabled", "switched off by the environment"
            continue
        components = _load_one(point, status, manager)
        if status.state != "ok":
            continue
        if status.first_party:
            registry.commit(components)
            status.components = [f"{c.kind}:{c.name}" for c in components]
        else:
            strangers.append((status, components))
    _commit_strangers(strangers, registry)
    for status in host.plugins:
        if status.state != "ok":
            registry.note_unavailable(status.line())
    registry.freeze()
    return host


def _load_order(point: EntryPoint) -> tuple[bool, str, str]:
    distribution = point.dist.name if point.dist else ""
    return (distribution != OWN_DISTRIBUTION, distribution, point.name)


def _status(point: EntryPoint) -> PluginStatus:
    distribution, version = (point.dist.name, point.dist.version) if point.dist else ("unknown", "0")
    return PluginStatus(name=point.name, module=point.value, distribution=distribution, version=version)


def _is_disabled(status: PluginStatus, environ: Mapping[str, str]) -> bool:
    if status.name in _names(environ.get("NANOCHAT_DISABLE_PLUGINS", "")):
        return True
    allowed = environ.get("NANOCHAT_LOAD_PLUGINS")
    return allowed is not None and not status.first_party and status.name not in _names(allowed)


def _names(text: str) -> set[str]:
    return {name.strip() for name in text.split(",") if name.strip()}


def _load_one(point: EntryPoint, status: PluginStatus, manager: pluggy.PluginManager) -> list[Component]:
    started = time.perf_counter()
    registrar = Registrar(point.name, point.value.partition(":")[0], status.distribution, status.version)
    module: Any = None
    try:
        module = import_module(point.value)
        stated = getattr(module, "NANOCHAT_PLUGIN_API", None)
        if stated != PLUGIN_API_VERSION:
            status.state = "incompatible"
            status.reason = f"written for plugin API {stated}, this is {PLUGIN_API_VERSION}; update one of the two"
            return []
        manager.register(module, name=point.name)
        manager.subset_hook_caller("nanochat_register", _others(manager, module))(registrar=registrar)
    except (Exception, SystemExit) as error:  # a stranger may raise anything; the program must go on
        if module is not None and manager.is_registered(module):
            manager.unregister(module)
        status.state, status.reason = "failed", f"{type(error).__name__}: {_first_line(error)}"
        return []
    finally:
        status.milliseconds = (time.perf_counter() - started) * 1e3
    return registrar.components


def _others(manager: pluggy.PluginManager, module: object) -> list[object]:
    return [plugin for plugin in manager.get_plugins() if plugin is not module]


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0]


def _commit_strangers(strangers: list[tuple[PluginStatus, list[Component]]], registry: Registry) -> None:
    """Commit third-party plugins so that the outcome does not depend on their order."""
    claims: dict[tuple[str, str], list[Component]] = {}
    for _, components in strangers:
        for component in components:
            claims.setdefault((component.kind, component.name), []).append(component)
    for (kind, name), claimants in claims.items():
        if len(claimants) > 1:
            registry.contest(kind, name, claimants)
    for status, components in strangers:
        contested = next((c for c in components if len(claims[(c.kind, c.name)]) > 1), None)
        if contested is not None:
            rivals = [c.distribution for c in claims[(contested.kind, contested.name)] if c.plugin != status.name]
            status.state = "failed"
            status.reason = f"{contested.kind} {contested.name!r} is also claimed by {', '.join(rivals)}"
            continue
        try:
            registry.commit(components)
        except Conflict as conflict:
            status.state = "failed"
            status.reason = f"{conflict}; a built-in cannot be replaced, use a vendor/name"
            continue
        status.components = [f"{c.kind}:{c.name}" for c in components]
