"""What a configuration can say, from the JSON schema of `nanochat config schema`: settings, components, their choices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Node = Mapping[str, Any]


@dataclass(frozen=True)
class Row:
    """A setting, or a table with settings.

    `key` is dotted, as `--set` takes it; of a component's table it is that of the table, and `choices` are the names that
    may stand there. `value` is None where the configuration says nothing.
    """

    key: str
    depth: int
    value: Any
    node: Node = field(repr=False)
    is_table: bool = False
    choices: Mapping[str, str] = field(default_factory=dict)
    """Choice -> what it means; empty where something is to be typed."""

    @property
    def name(self) -> str:
        """The last part of the key; of a member of an array its array's too."""
        *parents, last = self.key.split(".")
        return f"{parents[-1]} {int(last) + 1}" if last.isdigit() and parents else last

    @property
    def target(self) -> str:
        """The key that choosing or typing sets."""
        return f"{self.key}.name" if self.is_table else self.key

    @property
    def about(self) -> str:
        """What it is for; of a component's table also what the chosen one is."""
        chosen = self.choices.get(chosen_name(self.value) or "", "") if self.is_table else ""
        return "  ".join(text for text in (str(self.node.get("description", "")), chosen) if text)

    @property
    def default(self) -> Any:
        """The value where nothing is said; None: there is none, or it is left out."""
        return self.node.get("default")

    @property
    def kind(self) -> str:
        """What may be typed, for people: `integer, at least 1`."""
        if self.is_table:
            return "component" if self.choices else "table"
        kinds = [kind_of(each) for each in self.node.get("anyOf", [self.node])]
        return " or ".join(dict.fromkeys(kinds))

    @property
    def is_text(self) -> bool:
        """Whether any text is a value."""
        return self.node.get("type") == "string"


def kind_of(node: Node) -> str:
    """The type and range of one alternative."""
    if "enum" in node:
        return "one of " + ", ".join(map(str, node["enum"]))
    limits = [
        f"{word} {node[key]:g}"
        for key, word in (
            ("exclusiveMinimum", "above"),
            ("minimum", "at least"),
            ("exclusiveMaximum", "below"),
            ("maximum", "at most"),
            ("multipleOf", "a multiple of"),
        )
        if key in node
    ]
    words = {"boolean": "true or false", "string": "text", "object": "table { key = value }", "array": "array [ ]"}
    return ", ".join([words.get(node.get("type", ""), str(node.get("type", "value"))), *limits])


def chosen_name(value: Any) -> str | None:
    """The name of the component that a value chooses."""
    name = value.get("name") if isinstance(value, Mapping) else value
    return name if isinstance(name, str) else None


@dataclass(frozen=True)
class Addition:
    """Something that a configuration has not and may have: a member of an array, or an optional table."""

    key: str
    """The array, or the table."""
    value: Any
    about: str
    to_array: bool

    @property
    def label(self) -> str:
        """For the list of what may be added."""
        return f"{self.key}  {chosen_name(self.value) or ''}".rstrip()


class Catalogue:
    """The schema, asked about a configuration at hand (`data`: nested tables as TOML has them)."""

    def __init__(self, schema: Node) -> None:
        self._definitions: Node = schema["$defs"]
        self._sections: Node = self._definitions["configuration"]["properties"]

    def rows(self, data: Mapping[str, Any]) -> Iterator[Row]:
        """Every table of the configuration, with every setting that can stand in it; a table's settings before its tables."""
        for name, node in self._sections.items():
            yield from self._rows(name, node, data.get(name), 0)

    def additions(self, data: Mapping[str, Any]) -> Iterator[Addition]:
        """What may be added."""
        for name, node in self._sections.items():
            yield from self._additions(name, node, data.get(name))

    def own_keys(self, key: str, name: str) -> set[str]:
        """Of a table that chooses the component `name`, the keys that belong to the rule around it (`match`, ...)."""
        found = self._alternatives(self._node(key)).get(name)
        keys = list(found["properties"]) if found else []
        return set(keys[: keys.index("name")]) if "name" in keys else set()

    def is_array(self, key: str) -> bool:
        """Whether a key holds several tables."""
        node = self._node(key)
        return node.get("type") == "array" and self._is_table(self._resolved(node["items"]))

    def _node(self, key: str) -> Node:
        """The schema at a dotted path; with several alternatives, of the first that has the next part."""
        node: Node = {"properties": self._sections}
        for part in key.split("."):
            node = self._resolved(node)
            if part.isdigit():
                node = node.get("items", {})
                continue
            tables = [node, *self._alternatives(node).values()]
            node = next((t["properties"][part] for t in tables if part in t.get("properties", {})), {})
        return self._resolved(node)

    def _resolved(self, node: Node) -> Node:
        if "$ref" not in node:
            return node
        around = {key: value for key, value in node.items() if key != "$ref"}
        return {**self._definitions[node["$ref"].rpartition("/")[2]], **around}

    def _alternatives(self, node: Node) -> dict[str, Node]:
        """Component -> its table; empty for what is no component."""
        found: dict[str, Node] = {}
        for each in node.get("anyOf", []):
            name = each.get("properties", {}).get("name", {}).get("const")
            if name is not None:
                found.setdefault(name, each)
        return found

    def _is_table(self, node: Node) -> bool:
        return "properties" in node or bool(self._alternatives(node))

    def _rows(self, key: str, given: Node, value: Any, depth: int) -> Iterator[Row]:
        node = self._resolved(given)
        items = self._resolved(node.get("items", {}))
        if node.get("type") == "array" and self._is_table(items):
            for number, member in enumerate(value if isinstance(value, list) else []):
                yield from self._rows(f"{key}.{number}", items, member, depth)
        elif self._is_table(node):
            if value is not None:
                yield from self._table(key, node, value, depth)
        else:
            yield Row(key, depth, value, node, choices=_choices(node))

    def _table(self, key: str, node: Node, value: Any, depth: int) -> Iterator[Row]:
        alternatives = self._alternatives(node)
        choices = {name: str(each.get("description", "")) for name, each in alternatives.items()}
        yield Row(key, depth, value, node, is_table=True, choices=choices)
        table = alternatives.get(chosen_name(value) or "", {}) if alternatives else node
        inside = value if isinstance(value, Mapping) else {}
        below = [
            list(self._rows(f"{key}.{name}", child, inside.get(name), depth + 1))
            for name, child in table.get("properties", {}).items()
            if not (alternatives and name == "name")
        ]
        for rows in sorted(below, key=lambda rows: bool(rows) and rows[0].is_table):
            yield from rows

    def _additions(self, key: str, given: Node, value: Any) -> Iterator[Addition]:
        node = self._resolved(given)
        items = self._resolved(node.get("items", {}))
        if node.get("type") == "array" and self._is_table(items):
            for name, table in self._alternatives(items).items():
                yield Addition(key, {"name": name}, str(table.get("description", "")), to_array=True)
        elif self._is_table(node):
            alternatives = self._alternatives(node)
            if value is None:
                about = str(node.get("description", ""))
                yield from (
                    Addition(key, {"name": name}, str(table.get("description", "")), to_array=False)
                    for name, table in alternatives.items()
                )
                if not alternatives:
                    yield Addition(key, {}, about, to_array=False)
            else:
                table = alternatives.get(chosen_name(value) or "", {}) if alternatives else node
                inside = value if isinstance(value, Mapping) else {}
                for name, child in table.get("properties", {}).items():
                    if name != "name":
                        yield from self._additions(f"{key}.{name}", child, inside.get(name))


def _choices(node: Node) -> dict[str, str]:
    if node.get("type") == "boolean":
        return {"true": "", "false": ""}
    return {str(value): "" for value in node.get("enum", [])}
