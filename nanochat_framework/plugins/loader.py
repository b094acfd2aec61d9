"""Finds and loads the plugins: one broken plugin is one line, never a broken program.

pluggy's own loader stops at the first plugin that raises and silently drops the second of two entry points of one
name (docs/decisions/0003), so this one loads each in its own try, times it, and commits its registrations only if all
of them are free of conflict.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pluggy

from nanochat_framework.plugins.api import PLUGIN_API_VERSION, PROJECT, PluginHooks
from nanochat_framework.plugins.component import Component
from nanochat_framework.plugins.discovery import OWN_DISTRIBUTION, Owners, declared
from nanochat_framework.plugins.faults import fault
from nanochat_framework.plugins.registrar import Registrar
from nanochat_framework.plugins.registry import Conflict, Registry

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

ENTRY_POINT_GROUP = "nanochat"
REGISTER = "nanochat_register"
WAIT_SECONDS = 2.0
"""Every command says which plugin it waits so long for."""
HEAVY = ("torch", "numpy")
"""Packages that no plugin may import while it registers: every command, even `--help` of some, would wait for them."""


@dataclass
class PluginStatus:
    """What became of one plugin. `state` is ok, disabled, failed, incompatible or shadowed.

    `api` is the interface that it says it is written for, None where it does not say so or was not imported;
    `milliseconds` is how long its import and registration took, `heavy` what they imported of HEAVY; `hooks` are those that
    it implements beside `nanochat_register`.
    """

    name: str
    module: str
    distribution: str
    version: str
    state: str = "ok"
    reason: str = ""
    api: int | None = None
    milliseconds: float = 0.0
    heavy: list[str] = field(default_factory=list)
    components: list[str] = field(default_factory=list)
    hooks: list[str] = field(default_factory=list)

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
        """One line for each plugin that should have loaded and did not, and for each that everybody waits for."""
        broken = [p.line() for p in self.plugins if p.state in ("failed", "incompatible", "shadowed")]
        slow = [p for p in self.plugins if not p.first_party and p.milliseconds > 1e3 * WAIT_SECONDS]
        waits = [f"{p.name} takes {p.milliseconds / 1e3:.1f} s to import; every command waits for it" for p in slow]
        return broken + waits


def load_plugins(points: Iterable[EntryPoint] | None = None, *, environ: Mapping[str, str] = os.environ) -> PluginHost:
    """Load every plugin of the entry-point group `nanochat` (or the given `points`).

    `NANOCHAT_DISABLE_PLUGINS=a,b` leaves plugins out before they are imported; `NANOCHAT_LOAD_PLUGINS=a,b` loads, of
    the third-party ones, only those (empty: none). Both take names of plugins and of distributions. What a plugin
    prints while it loads goes to stderr.
    """
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(PluginHooks)
    host = PluginHost(Registry(), [], manager)
    strangers: list[tuple[PluginStatus, list[Component]]] = []
    for point, status in _in_order(declared(ENTRY_POINT_GROUP) if points is None else points, environ):
        host.plugins.append(status)
        if status.state != "ok":
            continue
        components = _load_one(point, status, manager)
        if status.state != "ok":
            continue
        if status.first_party:
            _commit(status, components, host.registry)
        else:
            strangers.append((status, components))
    _commit_strangers(strangers, host.registry)
    for status in host.plugins:
        if status.state != "ok":
            host.registry.note_unavailable(status.name, status.line())
        if status.state == "failed" and manager.has_plugin(status.name):  # none of its hooks is called either
            manager.unregister(name=status.name)
    host.registry.freeze()
    return host


def _in_order(points: Iterable[EntryPoint], environ: Mapping[str, str]) -> list[tuple[EntryPoint, PluginStatus]]:
    """Our own first, then by distribution and name, so that the outcome does not depend on the search path.

    Disabled plugins and those whose name is taken are marked, and are never imported.
    """
    owners = Owners()
    found = [(point, PluginStatus(point.name, point.value, *owners.of(point))) for point in points]
    found.sort(key=lambda pair: (not pair[1].first_party, pair[1].distribution, pair[1].name, pair[1].module))
    seen: dict[str, PluginStatus] = {}
    for _, status in found:
        if _is_disabled(status, environ):
            status.state, status.reason = "disabled", "switched off by the environment"
        elif status.name in seen:
            first = seen[status.name]
            status.state = "shadowed"
            status.reason = f"its name is already taken by {first.distribution} {first.version}"
        else:
            seen[status.name] = status
    return found


def _is_disabled(status: PluginStatus, environ: Mapping[str, str]) -> bool:
    names = {status.name, status.distribution}
    if names & _names(environ.get("NANOCHAT_DISABLE_PLUGINS", "")):
        return True
    allowed = environ.get("NANOCHAT_LOAD_PLUGINS")
    return allowed is not None and not status.first_party and not names & _names(allowed)


def _names(text: str) -> set[str]:
    return {name.strip() for name in text.split(",") if name.strip()}


def _load_one(point: EntryPoint, status: PluginStatus, manager: pluggy.PluginManager) -> list[Component]:
    """Import a plugin and let it register; what goes wrong becomes its status."""
    started, absent = time.perf_counter(), [name for name in HEAVY if name not in sys.modules]
    plugin: Any = None
    try:
        with redirect_stdout(sys.stderr):  # stdout is data
            module, plugin = _import(point.value)
            stated = getattr(plugin, "NANOCHAT_PLUGIN_API", None)
            status.api = stated if isinstance(stated, int) else None
            if stated != PLUGIN_API_VERSION:
                status.state, status.reason = "incompatible", _incompatible(stated)
                return []
            registrar = Registrar(
                point.name, module.__package__ or module.__name__, status.distribution, status.version
            )
            manager.register(plugin, name=point.name)
            _check_hooks(manager, plugin)
            status.hooks = [each.name for each in manager.get_hookcallers(plugin) or () if each.name != REGISTER]
            manager.subset_hook_caller(REGISTER, _others(manager, plugin))(registrar=registrar)
            return list(registrar.components)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a stranger may raise anything, SystemExit too; the program must go on
        if plugin is not None and manager.is_registered(plugin):
            manager.unregister(plugin)
        status.state, status.reason = "failed", fault(error)
        return []
    finally:
        status.heavy = [name for name in absent if name in sys.modules]
        status.milliseconds = (time.perf_counter() - started) * 1e3


def _import(value: str) -> tuple[ModuleType, Any]:
    """The module of an entry point's `module` or `module:object`, and what it names."""
    module_name, _, attributes = value.partition("[")[0].strip().partition(":")
    module = import_module(module_name)
    plugin: Any = module
    for attribute in filter(None, attributes.split(".")):
        plugin = getattr(plugin, attribute)
    return module, plugin


def _incompatible(stated: object) -> str:
    if stated is None:
        return (
            f"states no NANOCHAT_PLUGIN_API; a plugin says there which version it is written for ({PLUGIN_API_VERSION})"
        )
    return f"written for plugin API {stated}, this is {PLUGIN_API_VERSION}; update one of the two"


def _check_hooks(manager: pluggy.PluginManager, plugin: object) -> None:
    """Raise TypeError for a plugin that implements nothing, or a hook that there is not: pluggy accepts both."""
    callers = manager.get_hookcallers(plugin) or []
    unknown = [caller.name for caller in callers if not caller.has_spec()]
    if unknown:
        raise TypeError(f"implements {unknown[0]}, which is no hook of this version")
    if not callers:
        raise TypeError("implements no hook; @hookimpl def nanochat_register(registrar) is the one it needs")


def _others(manager: pluggy.PluginManager, plugin: object) -> list[object]:
    return [other for other in manager.get_plugins() if other is not plugin]


def _commit(status: PluginStatus, components: list[Component], registry: Registry) -> None:
    try:
        registry.commit(components)
    except Conflict as conflict:
        status.state, status.reason = "failed", f"{conflict}; a built-in cannot be replaced, use a vendor/name"
    else:
        status.components = [f"{c.kind}:{c.name}" for c in components]


def _commit_strangers(strangers: list[tuple[PluginStatus, list[Component]]], registry: Registry) -> None:
    """Commit third-party plugins so that the outcome does not depend on their order.

    Those that clash with a built-in are out; a name that several of the rest claim goes to none of them.
    """
    built_in = {(component.kind, component.name) for component in registry.components()}
    claims: dict[tuple[str, str], list[Component]] = {}
    rest: list[tuple[PluginStatus, list[Component]]] = []
    for status, components in strangers:
        if any((c.kind, c.name) in built_in for c in components):
            _commit(status, components, registry)  # fails, and says why
            continue
        rest.append((status, components))
        for component in components:
            claims.setdefault((component.kind, component.name), []).append(component)
    contested = {claim: claimants for claim, claimants in claims.items() if len(claimants) > 1}
    for (kind, name), claimants in contested.items():
        registry.contest(kind, name, claimants)
    for status, components in rest:
        clash = next(((c.kind, c.name) for c in components if (c.kind, c.name) in contested), None)
        if clash is None:
            _commit(status, components, registry)
        else:
            rivals = sorted(c.distribution for c in contested[clash] if c.plugin != status.name)
            status.state, status.reason = "failed", f"{clash[0]} {clash[1]!r} is also claimed by {', '.join(rivals)}"
