"""`nanochat config`: check or show a configuration."""

from __future__ import annotations

import argparse
import sys

HELP = "check or show a configuration"

EXAMPLES = """\
examples:
  nanochat config check my.toml
  nanochat config check tiny-cpu --set optimizer.0.lr=0.01
  nanochat config show tiny-cpu            every default filled in, as TOML
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    actions = parser.add_subparsers(dest="action", metavar="check|show", required=True)
    check = actions.add_parser("check", help="report every mistake, with file and line")
    show = actions.add_parser("show", help="the configuration with every default filled in")
    show.add_argument("--json", action="store_true", help="as JSON")
    for action in (check, show):
        action.add_argument("config", help="path of a TOML file, or the name of a preset")
        action.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            dest="overrides",
            help="change one key (repeatable)",
        )


def run(arguments: argparse.Namespace) -> int:
    """Load it; a mistake is an exception that the dispatcher prints."""
    from nanochat_framework.cli.common import load_host, print_json
    from nanochat_framework.config.load import load_config

    loaded = load_config(arguments.config, registry=load_host().registry, overrides=arguments.overrides)
    for warning in loaded.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if arguments.action == "check":
        print(f"{loaded.path}: ok")
    elif arguments.json:
        print_json(loaded.config.to_dict())
    else:
        from nanochat_framework.config.dump import dump_toml

        print(dump_toml(loaded.config), end="")
    return 0
