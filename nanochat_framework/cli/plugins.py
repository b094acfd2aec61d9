"""`nanochat plugins`: what is installed, and what became of it."""

from __future__ import annotations

import argparse
from dataclasses import asdict

HELP = "list what is installed and what failed to load"

EXAMPLES = """\
examples:
  nanochat plugins list
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
    listing.add_argument("--json", action="store_true", help="as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Load all plugins and show them."""
    from nanochat_framework.cli.common import print_json, print_table
    from nanochat_framework.plugins import load_plugins

    plugins = load_plugins().plugins
    if arguments.json:
        print_json([asdict(plugin) for plugin in plugins])
        return 0
    rows = [
        (
            p.name,
            p.state,
            f"{p.distribution} {p.version}",
            f"{p.milliseconds:.1f} ms",
            p.reason or " ".join(p.components),
        )
        for p in plugins
    ]
    print_table(("plugin", "state", "distribution", "load", "components"), rows)
    return 0
