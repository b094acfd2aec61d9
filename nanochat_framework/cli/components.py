"""`nanochat components`: the parts a TOML file can name, and their settings."""

from __future__ import annotations

import argparse
from typing import Any

HELP = "list the parts a TOML file can name, and their settings"

EXAMPLES = """\
examples:
  nanochat components list
  nanochat components list optimizer
  nanochat components show optimizer muon
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    from nanochat_framework.plugins.kinds import KINDS

    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    actions = parser.add_subparsers(dest="action", metavar="list|show", required=True)
    listing = actions.add_parser("list", help="all components, or those of a kind")
    listing.add_argument("kind", nargs="?", choices=list(KINDS), metavar="KIND", help=", ".join(KINDS))
    show = actions.add_parser("show", help="one component with its settings")
    show.add_argument("kind", choices=list(KINDS), metavar="KIND", help=", ".join(KINDS))
    show.add_argument("name", metavar="NAME")
    for action in (listing, show):
        action.add_argument("--json", action="store_true", help="as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Show what was asked for."""
    from nanochat_framework.cli.common import load_host

    registry = load_host().registry
    return _list(registry, arguments) if arguments.action == "list" else _show(registry, arguments)


def _list(registry: Any, arguments: argparse.Namespace) -> int:
    from nanochat_framework.cli.common import print_json, print_table

    components = registry.components(arguments.kind)
    if arguments.json:
        print_json([_facts(component) for component in components])
        return 0
    print_table(("kind", "name", "from", "summary"), [(c.kind, c.name, c.distribution, c.summary) for c in components])
    return 0


def _show(registry: Any, arguments: argparse.Namespace) -> int:
    from nanochat_framework.cli.common import print_json, print_table
    from nanochat_framework.errors import UsageError
    from nanochat_framework.plugins import UnknownComponent

    try:
        component = registry.get(arguments.kind, arguments.name)
    except UnknownComponent as error:
        raise UsageError(str(error)) from None
    fields = [
        {
            "name": name,
            "type": _type(field.annotation),
            "default": _default(field),
            "description": field.description or "",
        }
        for name, field in component.config_class().model_fields.items()
    ]
    if arguments.json:
        print_json({**_facts(component), "fields": fields})
        return 0
    print(f"{component.kind} {component.name}: {component.summary}")
    print(f"from {component.distribution} {component.version}, {component.factory}\n")
    if fields:
        rows = [(f["name"], f["type"], f["default"], f["description"]) for f in fields]
        print_table(("setting", "type", "default", "description"), rows)
    else:
        print("It has no settings.")
    return 0


def _facts(component: Any) -> dict[str, Any]:
    keys = ("kind", "name", "summary", "plugin", "distribution", "version", "config", "factory", "schema_version")
    return {key: getattr(component, key) for key in keys}


def _type(annotation: Any) -> str:
    text = getattr(annotation, "__name__", None) if isinstance(annotation, type) else str(annotation)
    return str(text).replace("typing.", "").replace("nanochat_framework.config.selection.Selected[Any]", "component")


def _default(field: Any) -> str:
    if field.is_required():
        return "(required)"
    return str(field.get_default(call_default_factory=True))
