"""`nanochat plugins`: what is installed, what became of it, and whether it keeps its contracts; a new one to begin with."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from nanochat_framework.cli import plugins_panels

if TYPE_CHECKING:
    from nanochat_framework.plugins import PluginStatus

HELP = "list what is installed, check it, begin a plugin of your own"

EXAMPLES = """\
examples:
  nanochat plugins list
  nanochat plugins list --all
  nanochat plugins list --json
  nanochat plugins check
  nanochat plugins check jo_fast_sgd --full
  nanochat plugins panels first --follow
  nanochat plugins new fast_sgd --kind optimizer --vendor jo

States: ok; disabled (NANOCHAT_DISABLE_PLUGINS, NANOCHAT_LOAD_PLUGINS); failed (its import or registration raised, or it
claims a taken name); incompatible (written for another plugin API); shadowed (another plugin has its name).
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    actions = parser.add_subparsers(dest="action", metavar="list|check|panels|new", required=True)
    listing = actions.add_parser("list", help="every plugin with its state")
    listing.add_argument("--all", action="store_true", help="with the name of every component")
    listing.add_argument("--json", action="store_true", help="as JSON, with everything")
    check = actions.add_parser("check", help="hold plugins to their contracts; exit code 1 if anything is wrong")
    check.description = (
        "Import every component of plugins, settings and implementation, and check the laws of its settings. One row a "
        "component; exit code 1 if anything is wrong."
    )
    check.add_argument("names", nargs="*", metavar="NAME", help="plugins or distributions (default: all)")
    check.add_argument(
        "--full", action="store_true", help="check what the components do as well, by every law of their kind"
    )
    check.add_argument("--json", action="store_true", help="as JSON, with everything")
    plugins_panels.configure(actions.add_parser("panels", help=plugins_panels.HELP))
    _configure_new(actions.add_parser("new", help="write a plugin of your own, complete and working"))


def _configure_new(new: argparse.ArgumentParser) -> None:
    from nanochat_framework.plugins.kinds import KINDS

    new.description = (
        "Write a distribution with one working component of a kind, its tests and a README, into a new folder. "
        "Its path goes to stdout."
    )
    new.add_argument("name", metavar="NAME", help="name of the component: lower-case letters, digits, underscores")
    new.add_argument("--kind", required=True, metavar="KIND", help=f"one of: {', '.join(KINDS)}")
    new.add_argument(
        "--vendor", metavar="V", help="whose it is: a TOML file names it V/NAME (default: your login name)"
    )
    new.add_argument("--output", type=Path, default=Path(), metavar="DIR", help="where its folder goes (default: here)")


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked for."""
    actions = {"list": _list, "check": _check, "panels": plugins_panels.run, "new": _new}
    return actions[arguments.action](arguments)


def _list(arguments: argparse.Namespace) -> int:
    """Load all plugins and show them; a plugin that failed is a row here, and no failure of this command."""
    from nanochat_framework.cli.common import print_json, print_table
    from nanochat_framework.plugins import load_plugins

    plugins = load_plugins().plugins
    if arguments.json:
        print_json([asdict(plugin) for plugin in plugins])
        return 0
    rows = []
    for plugin in plugins:
        load = f"{plugin.milliseconds:.1f} ms" if plugin.milliseconds < 1e3 else f"{plugin.milliseconds / 1e3:.1f} s"
        held = " ".join([*plugin.components, *plugin.hooks]) if arguments.all else _counted(plugin)
        rows.append((plugin.name, plugin.state, plugin.distribution, plugin.version, load, plugin.reason or held))
    print_table(("plugin", "state", "distribution", "version", "load", "components, or why not"), rows)
    return 0


def _counted(plugin: PluginStatus) -> str:
    hooks = len(plugin.hooks)
    return f"{len(plugin.components)}" + (f" and {hooks} event hook{'s' if hooks > 1 else ''}" if hooks else "")


def _check(arguments: argparse.Namespace) -> int:
    """Check and show; 1 if anything is wrong."""
    from nanochat_framework.cli.common import print_json, print_table
    from nanochat_framework.cli.plugins_check import check_plugins, chosen
    from nanochat_framework.plugins import load_plugins

    host = load_plugins()
    rows = check_plugins(host, chosen(host, arguments.names), full=arguments.full)
    if arguments.json:
        print_json([{**asdict(row), "ok": row.ok} for row in rows])
    else:
        table = [(row.plugin, row.kind, row.name, str(row.laws or ""), row.verdict()) for row in rows]
        print_table(("plugin", "kind", "component", "laws", "ok, or what is wrong"), table)
    wrong = sum(not row.ok for row in rows)
    print(f"{len(rows) - wrong} of {len(rows)} are ok", file=sys.stderr)
    return int(wrong > 0)


def _new(arguments: argparse.Namespace) -> int:
    """Write the distribution, and say what comes next."""
    from nanochat_framework.plugins.scaffold import NewPlugin

    vendor = _login_name() if arguments.vendor is None else arguments.vendor
    plugin = NewPlugin(arguments.kind, vendor, arguments.name)
    files = plugin.write(arguments.output)
    folder = arguments.output / plugin.distribution
    print(folder)
    for line in (
        *(f"  {name}" for name in files),
        "It works as it stands. Next:",
        f"  pip install -e '{folder}[test]'",
        f"  nanochat plugins check {plugin.plugin}",
        f"  pytest {folder}",
        f"then change {folder / plugin.package / plugin.name}.py; {folder / 'README.md'} says the rest",
    ):
        print(line, file=sys.stderr)
    return 0


def _login_name() -> str:
    """The person's login name as a vendor. Raises UsageError where there is none that could be one."""
    import getpass
    import re

    from nanochat_framework.errors import UsageError

    try:
        login = getpass.getuser()
    except (KeyError, OSError, ImportError):
        login = ""
    word = re.sub(r"[^a-z0-9]+", "_", login.lower()).strip("_")
    if not re.match(r"[a-z]", word):
        raise UsageError("say whose it is with --vendor: a TOML file names the component VENDOR/NAME")
    return word
