"""`nanochat plugins`: what is installed, and what became of it."""

from __future__ import annotations

import argparse
from dataclasses import asdict

HELP = "list what is installed and what failed to load"

EXAMPLES = """\
examples:
  nanochat plugins list
  nanochat plugins list --all
  nanochat plugins list --json

States: ok; disabled (NANOCHAT_DISABLE_PLUGINS, NANOCHAT_LOAD_PLUGINS); failed (its import or registration raised, or it
claims a taken name); incompatible (written for another plugin API); shadowed (another plugin has its name).
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    actions = parser.add_subparsers(dest="action", metavar="list", required=True)
    listing = actions.add_parser("list", help="every plugin with its state")
    listing.add_argument("--all", action="store_true", help="with the name of every component")
    listing.add_argument("--json", action="store_true", help="as JSON, with everything")


def run(arguments: argparse.Namespace) -> int:
    """Load all plugins and show them; a plugin that failed is a row here, and no failure of this command."""
    from nanochat_framework.cli.common import print_json, print_table
    from nanochat_framework.plugins import load_plugins

    plugins = load_plugins().plugins
    if arguments.json:
        print_json([asdict(plugin) for plugin in plugins])
        return 0
    rows = []
    for plugin in plugins:
        held = " ".join(plugin.components) if arguments.all else str(len(plugin.components))
        load = f"{plugin.milliseconds:.1f} ms"
        rows.append((plugin.name, plugin.state, plugin.distribution, plugin.version, load, plugin.reason or held))
    print_table(("plugin", "state", "distribution", "version", "load", "components, or why not"), rows)
    return 0
