"""The whole configuration as a JSON Schema, for editors: sections, and every installed component by its name.

There are two forms of a file: one that stands alone, and one that `extends` another, in which anything may be left out that
is merged from the file below. Definitions of the second form begin with "part-of-". Arrays replace, so their members are
always complete.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from nanochat_framework.config.layers import EXTENDS
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.config.selection import COMPONENT_MARK
from nanochat_framework.errors import first_line
from nanochat_framework.plugins.component import Component
from nanochat_framework.plugins.registry import Registry

DRAFT = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, Any]


def configuration_schema(registry: Registry) -> tuple[Schema, list[str]]:
    """The schema, and a line for each component whose plugin cannot tell its settings and that it leaves out."""
    writer = _Writer(registry)
    alone, extending = writer.table(RunConfig, part=False), writer.table(RunConfig, part=True)
    below = {"type": "string", "description": "The file below this one: a path relative to it, or a preset's name."}
    extending = {
        **extending,
        "properties": {EXTENDS: below, **extending["properties"]},
        "required": [EXTENDS],
        "description": "A configuration on top of another.",
    }
    schema = {
        "$schema": DRAFT,
        "title": "nanochat-framework configuration",
        "description": "Everything a run is made from; written by `nanochat config schema`.",
        "anyOf": [{"$ref": "#/$defs/configuration"}, {"$ref": "#/$defs/extending"}],
        "$defs": {"configuration": alone, "extending": extending, **dict(sorted(writer.definitions.items()))},
    }
    return schema, writer.left_out


class _Writer:
    """Collects the definitions of components as they are met."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.definitions: dict[str, Schema] = {}
        self.left_out: list[str] = []

    def table(self, model: type[BaseModel], *, part: bool) -> Schema:
        """The schema of a pydantic model. `part`: it may leave out what the file below has."""
        schema = model.model_json_schema()
        shared = schema.pop("$defs", {})
        adapted: Schema = self._adapt(schema, shared, part)
        return adapted

    def _adapt(self, node: Any, shared: Mapping[str, Any], part: bool) -> Any:
        """A schema of pydantic's with models in place, components by reference, and nothing that TOML does not have."""
        if isinstance(node, list):
            return [self._adapt(each, shared, part) for each in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            name = node["$ref"].rpartition("/")[2]
            around = {key: value for key, value in node.items() if key != "$ref"}
            return self._adapt({**shared[name], **around}, shared, part)
        if COMPONENT_MARK in node:
            return self._component(node, shared, part)
        adapted = {}
        for key, value in node.items():
            if key == "properties":
                adapted[key] = {name: self._adapt(each, shared, part) for name, each in value.items()}
            elif key == "items":
                adapted[key] = self._adapt(value, shared, False)
            elif not (key == "title" or (key == "default" and value is None) or (key == "required" and part)):
                adapted[key] = self._adapt(value, shared, part) if key != "default" else value
        return _without_null(adapted)

    def _component(self, node: Schema, shared: Mapping[str, Any], part: bool) -> Schema:
        """A reference to the alternatives of a kind, each with the keys of the rule around it if it stands in one."""
        kind = node[COMPONENT_MARK]
        rule = None
        if "properties" in node:
            own = {name: each for name, each in node["properties"].items() if name != "component"}
            rule = {"properties": own, "required": [name for name in node.get("required", []) if name in own]}
        name = ("part-of-" if part else "") + kind + ("" if rule is None else "-rule")
        if name not in self.definitions:
            self.definitions[name] = {}  # holds the place while components inside are written
            rule = rule and self._adapt(rule, shared, part)
            self.definitions[name] = self._alternatives(kind, rule, part)
        about = {key: node[key] for key in ("description", "default") if node.get(key) is not None}
        return {**about, "$ref": f"#/$defs/{name}"}

    def _alternatives(self, kind: str, rule: Schema | None, part: bool) -> Schema:
        tables, bare = [], []
        for component in self.registry.components(kind):
            if component.traits.get("yields") == "documents":
                continue  # a source for `prepare-data`; no configuration of a training has it
            table = self._settings(component, part)
            if table is None:
                continue
            if rule is None and (part or table["required"] == ["name"]):
                bare.append(component.name)
            if rule is not None:
                table["properties"] = {**rule["properties"], **table["properties"]}
                table["required"] = [*rule.get("required", []), *table.get("required", [])]
            tables.append(table)
            key = getattr(component.config_class(), "derives_from", "")
            if key and not part:
                tables.append(self._derived(component, key))
        names = [{"enum": bare, "description": f"A {kind} by its bare name."}] if bare else []
        return {"anyOf": [*tables, *names]} if tables or names else {"not": {}}

    def _derived(self, component: Component, key: str) -> Schema:
        """The table of a component most of whose keys follow from one of them: like a part of a file, but named."""
        table = self._settings(component, True) or {}
        title = f"{table['title']}, by {key}"
        return {**table, "title": title, "required": ["name", key]}

    def _settings(self, component: Component, part: bool) -> Schema | None:
        """The table of one component; None, and a line in `left_out`, if its plugin fails."""
        try:
            table = self.table(component.config_class(), part=part)
        except (Exception, SystemExit) as error:  # a stranger's module may raise anything
            line = f"{component.kind} {component.name} is left out: {type(error).__name__}: {first_line(error)}"
            self.left_out += [] if line in self.left_out else [line]
            return None
        name = {"const": component.name, "description": component.summary}
        table["properties"] = {"name": name, **table.get("properties", {})}
        table["required"] = [] if part else ["name", *table.get("required", [])]
        return {**table, "title": f"{component.kind} {component.name}", "description": component.summary}


def _without_null(schema: Schema) -> Schema:
    """The schema without the alternative null, which TOML cannot write; a single alternative needs no anyOf."""
    alternatives = [each for each in schema.get("anyOf", []) if each != {"type": "null"}]
    if "anyOf" not in schema or len(alternatives) == len(schema["anyOf"]):
        return schema
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    return {**alternatives[0], **rest} if len(alternatives) == 1 else {**rest, "anyOf": alternatives}
