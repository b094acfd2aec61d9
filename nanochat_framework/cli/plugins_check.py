"""What `nanochat plugins check` finds: one row a component, and what is wrong with it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from unittest import SkipTest

from nanochat_framework.cli.progress import Progress
from nanochat_framework.errors import NanochatError, UsageError
from nanochat_framework.plugins import Component, PluginHost, PluginStatus, Registry
from nanochat_framework.plugins.faults import fault
from nanochat_framework.plugins.panels import HOOK

SLOW_SECONDS = 0.5
"""An author hears of an import that takes longer than this; everybody does of one of `loader.WAIT_SECONDS`."""


@dataclass
class Checked:
    """A component, or a plugin that has none to show. `wrong` fails the check, `notes` do not."""

    plugin: str
    kind: str = ""
    name: str = ""
    laws: int = 0
    wrong: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.wrong

    def verdict(self) -> str:
        """One line: what is wrong, else ok with what is worth knowing."""
        return "; ".join(self.wrong or ["ok", *self.notes])


def chosen(host: PluginHost, names: Sequence[str]) -> list[PluginStatus]:
    """The plugins that were named, by their own name or their distribution's; all that are not disabled without names.

    Raises UsageError for a name that no plugin has.
    """
    if not names:
        return [plugin for plugin in host.plugins if plugin.state != "disabled"]
    known = {name for plugin in host.plugins for name in (plugin.name, plugin.distribution)}
    for name in names:
        if name not in known:
            import difflib

            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise UsageError(
                f"no plugin {name!r} is installed in this environment{hint} `nanochat plugins list` shows those that are"
            )
    return [plugin for plugin in host.plugins if {plugin.name, plugin.distribution} & set(names)]


def check_plugins(host: PluginHost, plugins: Iterable[PluginStatus], *, full: bool) -> list[Checked]:
    """Check plugins in order. `full` adds the laws of what their components do to those of how they are configured."""
    rows: list[Checked] = []
    work: list[tuple[Checked, Component]] = []
    for plugin in plugins:
        found = [c for c in host.registry.components() if c.plugin == plugin.name and plugin.state == "ok"]
        own = _plugin_itself(plugin, bare=not found)
        rows += [own] if own else []
        if full and HOOK in plugin.hooks and plugin.state == "ok":
            rows.append(_panels(plugin))
        for component in found:
            work.append((Checked(plugin.name, component.kind, component.name), component))
            rows.append(work[-1][0])
    with Progress("checking", len(work), "components") as bar:
        for row, component in work:
            with redirect_stdout(sys.stderr):  # whatever a stranger's code prints: stdout is data
                _check(row, component, host.registry, full=full)
            bar.advance(1)
    return rows


def _plugin_itself(plugin: PluginStatus, *, bare: bool) -> Checked | None:
    """What is to be said of a plugin as a whole."""
    row, seconds = Checked(plugin.name), f"its import takes {plugin.milliseconds / 1e3:.1f} s of every command"
    if plugin.state != "ok":
        row.wrong.append(f"{plugin.state}: {plugin.reason}")
    elif bare and not plugin.hooks:
        row.wrong.append("registers no component: nanochat_register has to call the registrar")
    if plugin.heavy:
        packages = " and ".join(plugin.heavy)
        row.wrong.append(f"{seconds}, for it imports {packages}; import them in the modules that compute")
    elif plugin.milliseconds > 1e3 * SLOW_SECONDS:
        row.notes.append(f"slow: {seconds}")
    return row if row.wrong or row.notes else None


def _panels(plugin: PluginStatus) -> Checked:
    """The laws of its panels, called as the dashboard calls them."""
    from nanochat_framework.testing.panels import N_LAWS, check_panels

    row = Checked(plugin.name, "panel", "", laws=N_LAWS)
    try:
        check_panels(plugin.name)
    except (AssertionError, UsageError) as error:
        row.wrong.append(" ".join(str(error).split()))
    return row


def _check(row: Checked, component: Component, registry: Registry, *, full: bool) -> None:
    """Resolve both references, then hold the component to the laws; all that is wrong goes into the row."""
    try:
        component.config_class().model_json_schema()
    except (Exception, SystemExit) as error:
        row.wrong.append(f"config {component.config}: {fault(error)}")
    try:
        component.load_factory()
    except (Exception, SystemExit) as error:
        row.wrong.append(f"factory {component.factory}: {fault(error)}")
    if not row.wrong:
        _check_laws(row, component, registry, full=full)


def _check_laws(row: Checked, component: Component, registry: Registry, *, full: bool) -> None:
    from nanochat_framework.testing import Subject, configuration, laws_of

    try:
        subject = Subject.of(component.kind, component.name, registry)
    except (AssertionError, SkipTest) as error:
        row.notes.append(f"its laws are not checked: {error}")
        return
    for law in laws_of(component.kind) if full else configuration.LAWS:
        try:
            law.check(subject)
        except SkipTest:
            continue
        except AssertionError as error:
            row.wrong.append(" ".join(str(error).split()))
        except NanochatError as error:  # a package that the law or the component needs is not installed
            row.notes.append(f"{law.name} is not checked: {error}")
        else:
            row.laws += 1
