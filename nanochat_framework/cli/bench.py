"""`nanochat bench`: compare parts of nanochat on this machine."""

from __future__ import annotations

import argparse
from importlib import import_module

HELP = "compare optimizers on this machine"

EXAMPLES = """\
examples:
  nanochat bench optimizers
  nanochat bench optimizers --optimizers muon,adamw --steps 500 --seeds 3 --output optimizers.jsonl
  nanochat bench optimizers --data data --set adamw.weight_decay=0.1 --json
"""

ACTIONS = {"optimizers": "bench_optimizers"}
"""Action -> module in this package."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the actions."""
    actions = parser.add_subparsers(dest="action", metavar="|".join(ACTIONS), required=True)
    for name, file in ACTIONS.items():
        module = import_module(f"nanochat_framework.cli.{file}")
        module.configure(actions.add_parser(name, help=module.HELP, description=module.__doc__))


def run(arguments: argparse.Namespace) -> int:
    """Run one of them."""
    code: int = import_module(f"nanochat_framework.cli.{ACTIONS[arguments.action]}").run(arguments)
    return code
