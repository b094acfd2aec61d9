"""What is said of one component or plugin, as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from nanochat_tui.palette import palette
from nanochat_tui.printable import printable

Row = Mapping[str, Any]


def component_page(component: Row, laws: Row | str) -> RenderableType:
    """A component: whose it is, its settings, the laws of its kind (or why they are not known)."""
    head = Text(f"{component['kind']} {printable(component['name'])}\n", "bold")
    head.append(f"{printable(component['summary'])}\n", "not bold")
    facts = [
        ("from", f"{component['distribution']} {component['version']}, plugin {component['plugin']}"),
        ("code", component["factory"]),
        ("settings", f"{component['config']}, schema {component['schema_version']}"),
        *((trait, _joined(value)) for trait, value in component["traits"].items()),
    ]
    return Group(head, _facts(facts), *_settings(component), *_laws(laws))


def _settings(component: Row) -> list[RenderableType]:
    if component.get("fault"):
        return [Text(f"\n✗ {printable(component['fault'])}", palette().alert)]
    fields = component["fields"]
    if not fields:
        return [Text("\nIt has no settings.", palette().faint)]
    parts: list[RenderableType] = [Text(f"\n{len(fields)} setting{'s' * (len(fields) > 1)}", "bold")]
    for field in fields:
        line = Text(printable(field["name"]), palette().busy)
        line.append("  must be given" if field["required"] else f" = {printable(field['default'])}", palette().note)
        line.append(f"   {printable(field['type'])}", palette().faint)
        parts += [line, _indented(field["description"])]
    return parts


def _laws(laws: Row | str) -> list[RenderableType]:
    if isinstance(laws, str):
        return [Text(f"\n{printable(laws)}", palette().faint)]
    parts: list[RenderableType] = [Text(f"\n{len(laws['laws'])} laws of every {laws['kind']}", "bold")]
    parts.append(Text(f"{laws['contract']}; `nanochat plugins check --full` checks them", palette().faint))
    for law in laws["laws"]:
        parts += [Text(law["name"].replace("_", " "), palette().busy), _indented(law["states"])]
    return parts


def state_sign(state: str) -> tuple[str, str]:
    """A plugin's sign and its style."""
    return {"ok": ("✓", palette().good), "disabled": ("○", palette().faint)}.get(state, ("✗", palette().alert))


def plugin_page(plugin: Row, components: Sequence[Row]) -> RenderableType:
    """A plugin: where it is from, what became of it, what it brings."""
    state = plugin["state"]
    sign, colour = state_sign(state)
    head = Text(f"{plugin['name']}  ", "bold")
    head.append(f"{sign} {state}\n\n", colour)
    api = plugin.get("api")
    facts = [
        ("from", f"{plugin['distribution']} {plugin['version']}"),
        ("module", plugin["module"]),
        ("plugin API", "not stated" if api is None else str(api)),
        ("import", f"{plugin['milliseconds']:.1f} ms of every command"),
    ]
    parts: list[RenderableType] = [head, _facts(facts)]
    if plugin["reason"]:
        parts.append(Text(f"\n{printable(plugin['reason'])}", colour))
    if state not in ("ok", "disabled"):
        name = printable(plugin["name"])
        more = f"`nanochat plugins check {name}` says more; NANOCHAT_DISABLE_PLUGINS={name} leaves it out"
        parts.append(Text(more, palette().faint))
    if plugin["heavy"]:
        heavy = " and ".join(plugin["heavy"])
        parts.append(Text(f"\n! it imports {heavy}, and every command waits for that", palette().alert))
    if plugin["hooks"]:
        parts += [Text("\nevent hooks", "bold"), _indented(", ".join(plugin["hooks"]))]
    if plugin["components"]:
        parts.append(Text(f"\n{len(plugin['components'])} components", "bold"))
        summaries = {f"{row['kind']}:{row['name']}": row["summary"] for row in components}
        parts.append(_facts([(name, summaries.get(name, "")) for name in plugin["components"]]))
    return Group(*parts)


def _facts(rows: Sequence[tuple[str, Any]]) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style=palette().faint, no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in rows:
        grid.add_row(Text(printable(name)), Text(printable(str(value))))
    return grid


def _indented(text: str) -> Table:
    grid = Table.grid()
    grid.add_column(width=4)
    grid.add_column()
    grid.add_row("", Text(printable(text)))
    return grid


def _joined(value: Any) -> str:
    return (", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)) or "nothing"
