"""`nanochat config`: check, show or compare configurations, or write the schema that editors read."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nanochat_framework.config.load import LoadedConfig
    from nanochat_framework.config.run_config import RunConfig
    from nanochat_framework.plugins import Registry

HELP = "check, show or compare configurations; the schema that editors read"

EXAMPLES = """\
examples:
  nanochat config check my.toml
  nanochat config check tiny-cpu --set optimizer.0.lr=0.01
  nanochat config check runs/first --set train.steps=9000 --json     what a run was made from, changed
  nanochat config show tiny-cpu            every default filled in, as TOML
  nanochat config show my.toml --origin    each value with the file and line that it comes from
  nanochat config diff nano-125m my.toml
  nanochat config diff first second        what two runs were made from
  nanochat config schema --output nanochat.schema.json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    actions = parser.add_subparsers(dest="action", metavar="check|show|diff|schema", required=True)
    check = actions.add_parser("check", help="report every mistake, with file and line")
    show = actions.add_parser("show", help="the configuration with every default filled in")
    show.add_argument("--origin", action="store_true", help="a line for each value, with where it comes from")
    diff = actions.add_parser("diff", help="what differs between two configurations")
    for side in ("a", "b"):
        diff.add_argument(side, metavar=side.upper(), help="a TOML file, a preset or a run")
    diff.add_argument("--runs-dir", type=Path, metavar="DIR", help="where runs live (default ./runs)")
    for action in (check, show, diff):
        action.add_argument("--json", action="store_true", help="as JSON")
    for action in (check, show):
        action.add_argument("config", help="path of a TOML file or of a run, or the name of a preset")
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
    if arguments.action == "diff":
        _diff(arguments, registry)
        return 0
    if arguments.action == "check":
        _check(arguments, registry)
        return 0
    loaded = _load(arguments.config, arguments.overrides, registry)
    if arguments.origin:
        _show_origins(loaded, as_json=arguments.json)
    else:
        _show(loaded, as_json=arguments.json)
    return 0


def _load(target: str, overrides: list[str], registry: Registry) -> LoadedConfig:
    from nanochat_framework.config.load import load_config

    loaded = load_config(target, registry=registry, overrides=overrides)
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


def _check(arguments: argparse.Namespace, registry: Registry) -> None:
    """Say that it is well. As JSON: every problem and warning, and of one that is well every value; raises all the same."""
    from nanochat_framework.cli.common import print_json
    from nanochat_framework.errors import ConfigError, Problem, UsageError

    try:
        loaded = _load(arguments.config, arguments.overrides, registry)
    except UsageError as error:
        if arguments.json:
            problems = error.problems if isinstance(error, ConfigError) else (Problem("", "", str(error)),)
            print_json({"ok": False, "problems": [vars(problem) for problem in problems], "warnings": [], "values": []})
        raise
    if arguments.json:
        print_json({"ok": True, "problems": [], "warnings": loaded.warnings, "values": _origins(loaded)})
    else:
        print(f"{loaded.path}: ok")


def _origins(loaded: LoadedConfig) -> list[dict[str, Any]]:
    """`key`, `value` and `origin` of everything that the configuration says or leaves to a default."""
    from nanochat_framework.config.origins import leaves
    from nanochat_framework.config.toml_lines import dotted

    return [
        {"key": dotted(path), "value": value, "origin": loaded.provenance.origin(path).to_dict()}
        for path, value in leaves(loaded.config.to_dict())
    ]


def _show_origins(loaded: LoadedConfig, *, as_json: bool) -> None:
    from nanochat_framework.cli.common import print_json, print_table
    from nanochat_framework.config.origins import leaves
    from nanochat_framework.config.toml_lines import dotted
    from nanochat_framework.config.toml_text import toml_value

    if as_json:
        print_json(_origins(loaded))
        return
    found = [(path, value, loaded.provenance.origin(path)) for path, value in leaves(loaded.config.to_dict())]
    print_table(
        ("key", "value", "from"), [(dotted(path), toml_value(value), str(origin)) for path, value, origin in found]
    )


def _diff(arguments: argparse.Namespace, registry: Registry) -> None:
    from nanochat_framework.cli.common import print_json
    from nanochat_framework.config.diff import ABSENT, differences
    from nanochat_framework.config.toml_text import toml_value

    sides = [_side(target, arguments.runs_dir, registry) for target in (arguments.a, arguments.b)]
    found = differences(*(config.to_dict() for config in sides))
    if arguments.json:
        print_json([difference.to_dict() for difference in found])
        return
    for difference in found:
        before, after = ("absent" if v is ABSENT else toml_value(v) for v in (difference.before, difference.after))
        print(f"{difference.key}: {before} -> {after}")
    if not found:
        print(f"{arguments.a} and {arguments.b} do not differ", file=sys.stderr)


def _side(target: str, runs_dir: Path | None, registry: Registry) -> RunConfig:
    """A file or preset; a run where neither is called so. Raises UsageError if it is nothing of these."""
    from nanochat_framework.config.load import load_config, read_resolved
    from nanochat_framework.errors import ConfigError, UsageError
    from nanochat_framework.runs.directory import RunDirectory, default_runs_dir

    try:
        return load_config(target, registry=registry).config
    except ConfigError:
        raise
    except UsageError as error:
        try:
            run = RunDirectory.find(runs_dir or default_runs_dir(), target)
        except UsageError as no_run:
            raise UsageError(f"{error}; {no_run}") from None
        return read_resolved(run.config_resolved, registry=registry)


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
