"""`nanochat config`: check or show a configuration, or write the schema that editors read."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nanochat_framework.config.load import LoadedConfig
    from nanochat_framework.plugins import Registry

HELP = "check or show a configuration, or the schema that editors read"

EXAMPLES = """\
examples:
  nanochat config check my.toml
  nanochat config check tiny-cpu --set optimizer.0.lr=0.01
  nanochat config show tiny-cpu            every default filled in, as TOML
  nanochat config schema --output nanochat.schema.json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    actions = parser.add_subparsers(dest="action", metavar="check|show|schema", required=True)
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
    schema = actions.add_parser("schema", help="JSON Schema of a configuration, with every installed component")
    schema.add_argument("--output", type=Path, metavar="FILE", help="write it there instead of to stdout")


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked for; a mistake is an exception that the dispatcher prints."""
    from nanochat_framework.cli.common import load_host

    registry = load_host().registry
    if arguments.action == "schema":
        _schema(registry, arguments.output)
        return 0
    loaded = _load(arguments, registry)
    if arguments.action == "check":
        print(f"{loaded.path}: ok")
    else:
        _show(loaded, as_json=arguments.json)
    return 0


def _load(arguments: argparse.Namespace, registry: Registry) -> LoadedConfig:
    from nanochat_framework.config.load import load_config

    loaded = load_config(arguments.config, registry=registry, overrides=arguments.overrides)
    for warning in loaded.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return loaded


def _show(loaded: LoadedConfig, *, as_json: bool) -> None:
    from nanochat_framework.cli.common import print_json
    from nanochat_framework.config.dump import dump_toml

    if as_json:
        print_json(loaded.config.to_dict())
    else:
        print(dump_toml(loaded.config), end="")


def _schema(registry: Registry, output: Path | None) -> None:
    import json

    from nanochat_framework.config.schema import configuration_schema
    from nanochat_framework.errors import UsageError
    from nanochat_framework.runs.atomic import write_atomic

    schema, left_out = configuration_schema(registry)
    for line in left_out:
        print(f"warning: {line}", file=sys.stderr)
    text = json.dumps(schema, indent=1, ensure_ascii=False) + "\n"
    if output is None:
        print(text, end="")
        return
    try:
        write_atomic(output, text.encode())
    except OSError as error:
        raise UsageError(f"--output {output}: cannot be written ({error.strerror})") from None
    print(f"{output}: written; name it in a file's first line, `#:schema {output.name}`", file=sys.stderr)
