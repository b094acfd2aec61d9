"""`nanochat components`: the parts a TOML file can name, and their settings."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from nanochat_framework.plugins import Component, Registry

HELP = "list the parts a TOML file can name, and their settings"

EXAMPLES = """\
examples:
  nanochat components list
  nanochat components list optimizer
  nanochat components list optimizer --settings
  nanochat components show optimizer muon
  nanochat components show attention gqa --json
  nanochat components laws optimizer
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    from nanochat_framework.plugins.kinds import KINDS

    kinds = "one of: " + ", ".join(KINDS)
    actions = parser.add_subparsers(dest="action", metavar="list|show|laws", required=True)
    listing = actions.add_parser("list", help="all components, or those of a kind")
    listing.add_argument("kind", nargs="?", metavar="KIND", help=kinds)
    listing.add_argument("--settings", action="store_true", help="with the settings of each")
    show = actions.add_parser("show", help="one component with its settings")
    show.add_argument("kind", metavar="KIND", help=kinds)
    show.add_argument("name", metavar="NAME", help="as in `components list KIND`")
    laws = actions.add_parser("laws", help="what every component of a kind must do")
    laws.add_argument("kind", nargs="?", metavar="KIND", help=f"{kinds} (default: all)")
    for action in (listing, show, laws):
        action.add_argument("--json", action="store_true", help="as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Show what was asked for."""
    from nanochat_framework.cli.common import load_host
    from nanochat_framework.plugins.kinds import check_kind

    if arguments.kind is not None:
        check_kind(arguments.kind)
    if arguments.action == "laws":
        _laws(arguments.kind, as_json=arguments.json)
        return 0
    registry = load_host().registry
    if arguments.action == "list":
        show = _list_settings if arguments.settings else _list
        show(registry, arguments.kind, as_json=arguments.json)
    else:
        _show(registry, arguments.kind, arguments.name, as_json=arguments.json)
    return 0


def _list(registry: Registry, kind: str | None, *, as_json: bool) -> None:
    from nanochat_framework.cli.common import print_json, print_table

    components = registry.components(kind)
    if as_json:
        print_json([_facts(component) for component in components])
        return
    print_table(("kind", "name", "from", "summary"), [(c.kind, c.name, c.distribution, c.summary) for c in components])


def _list_settings(registry: Registry, kind: str | None, *, as_json: bool) -> None:
    """Every component with its settings, or with why they cannot be had: one that is broken hides no other."""
    from nanochat_framework.cli.common import print_json, print_table
    from nanochat_framework.errors import ConfigError

    records: list[dict[str, Any]] = []
    for component in registry.components(kind):
        try:
            records.append({**_facts(component), "fields": _fields(component), "fault": None})
        except ConfigError as error:
            records.append({**_facts(component), "fields": [], "fault": str(error)})
    if as_json:
        print_json(records)
        return
    rows = [
        (record["kind"], record["name"], field["name"], field["type"], field["default"], field["description"])
        for record in records
        for field in record["fields"]
        or [dict.fromkeys(("name", "type", "default"), "") | {"description": record["fault"] or ""}]
    ]
    print_table(("kind", "name", "setting", "type", "default", "description"), rows)


def _laws(kind: str | None, *, as_json: bool) -> None:
    """The contract and the laws of a kind, or of all."""
    from nanochat_framework.cli.common import print_json
    from nanochat_framework.plugins.kinds import KINDS
    from nanochat_framework.testing import laws_of

    kinds = [KINDS[kind]] if kind else list(KINDS.values())
    laws = {each.name: [{"name": law.name, "states": law.states} for law in laws_of(each.name)] for each in kinds}
    if as_json:
        facts = [{"kind": k.name, "summary": k.summary, "contract": k.contract, "laws": laws[k.name]} for k in kinds]
        print_json(facts)
        return
    for each in kinds:
        print(f"{each.name}: {each.summary}; {each.contract}")
        for law in laws[each.name]:
            print(f"  {law['name']}\n      {law['states']}")


def _show(registry: Registry, kind: str, name: str, *, as_json: bool) -> None:
    from nanochat_framework.cli.common import print_json, print_table
    from nanochat_framework.plugins.settings import named

    component = named(registry, kind, name)
    fields = _fields(component)
    if as_json:
        print_json({**_facts(component), "fields": fields})
        return
    print(f"{component.kind} {component.name}: {component.summary}")
    print(f"from {component.distribution} {component.version}, {component.factory}")
    for trait, value in component.traits.items():
        shown = ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
        print(f"{trait}: {shown if shown != '' else 'nothing'}")
    if fields:
        print()
        rows = [(f["name"], f["type"], f["default"], f["description"]) for f in fields]
        print_table(("setting", "type", "default", "description"), rows)
    else:
        print("It has no settings.")


def _fields(component: Component) -> list[dict[str, Any]]:
    """Name, type, default and description of each setting. Raises ConfigError if the plugin's module is broken."""
    from nanochat_framework.cli.field_types import describe_choices, describe_default, describe_type
    from nanochat_framework.errors import ConfigError, Problem
    from nanochat_framework.plugins.faults import fault

    try:
        fields = component.config_class().model_fields
    except (Exception, SystemExit) as error:
        message = f"{component.kind} {component.name!r} of plugin {component.plugin} cannot be loaded: {fault(error)}"
        raise ConfigError([Problem("", "", message)], exit_code=4) from error
    return [
        {
            "name": name,
            "type": describe_type(field),
            "choices": describe_choices(field),
            "default": describe_default(field),
            "required": field.is_required(),
            "description": field.description or "",
        }
        for name, field in _with_tables(fields)
    ]


def _with_tables(fields: Mapping[str, FieldInfo], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """The settings, and below a table that is no component its own: `value_embeddings.every`."""
    from nanochat_framework.config.component import table_within

    for name, field in fields.items():
        yield prefix + name, field
        table = table_within(field)
        if table is not None:
            yield from _with_tables(table.model_fields, f"{prefix}{name}.")


def _facts(component: Component) -> dict[str, Any]:
    keys = ("kind", "name", "summary", "plugin", "distribution", "version", "config", "factory", "schema_version")
    return {**{key: getattr(component, key) for key in keys}, "traits": dict(component.traits)}
