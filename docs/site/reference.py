"""The generated part of the reference: every component from the registry, every section of a configuration, every command."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import partial
from typing import Any, get_args

from pydantic import BaseModel

from nanochat_framework.cli import COMMANDS, _module
from nanochat_framework.cli.field_types import describe_default, describe_type
from nanochat_framework.cli.parser import Parser
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.plugins import Registry
from nanochat_framework.plugins.kinds import KINDS

MADE = "<!-- Made by docs/site/build.py. -->\n"


def pages(registry: Registry) -> dict[str, str]:
    """File name -> Markdown, in the order in which the pages stand."""
    found = {"sections.md": sections(registry), "commands.md": commands()}
    found |= {f"{kind}.md": components(kind, registry) for kind in KINDS if registry.components(kind)}
    return found


def components(kind: str, registry: Registry) -> str:
    """Every component of a kind with its settings."""
    title = f"{kind.replace('_', ' ').capitalize()} components"
    parts = [f"# {title}\n\n{MADE}\n{_sentence(KINDS[kind].summary)} The contract is `{KINDS[kind].contract}`.\n"]
    for component in registry.components(kind):
        parts.append(f"\n## {component.name}\n\n{_sentence(component.summary)}\n\n")
        traits = [f"{name}: {_shown(value)}" for name, value in component.traits.items() if _shown(value)]
        parts += ["".join(f"- {trait}\n" for trait in traits) + "\n"] if traits else []
        parts.append(_table(component.config_class()))
    return "".join(parts)


def sections(registry: Registry) -> str:
    """The plain tables of a configuration, and where components are named."""
    parts = [f"# Keys of a configuration\n\n{MADE}\nAny key can be set with `--set`; "]
    parts.append("a key that holds a component takes that component's settings as well.\n")
    for name, field in RunConfig.model_fields.items():
        parts.append(f"\n## {name}\n\n")
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            parts.append(_table(field.annotation))
            parts += _inner(name, field.annotation)
        else:
            rule = next((each for each in _models(field.annotation)), None)
            parts.append(f"{_sentence(field.description or '')}\n\n")
            parts += [_table(rule)] if rule is not None else []
        if registry.components(name):
            parts.append(
                f"\nA `name` selects one of the [{name} components]({name}.md), whose settings stand beside it.\n"
            )
    return "".join(parts)


def _inner(path: str, model: type[BaseModel]) -> Iterator[str]:
    """The arrays of tables inside a section: `[[data.phase]]`."""
    for name, field in model.model_fields.items():
        for rule in _models(field.annotation):
            yield f"\n### {path}.{name}\n\n{_table(rule)}"


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)


def _table(model: type[BaseModel]) -> str:
    fields = {name: field for name, field in model.model_fields.items() if not field.exclude}
    if not fields:
        return "It has no settings.\n"
    rows = [
        f"| `{name}` | {_cell(describe_type(field))} | {_cell(describe_default(field))} | {_cell(field.description or '')} |\n"
        for name, field in fields.items()
    ]
    return "| setting | type | default | meaning |\n|---|---|---|---|\n" + "".join(rows)


def commands() -> str:
    """What `--help` prints for every command and every action of it."""
    parts = [f"# Commands\n\n{MADE}"]
    for heading, rows in COMMANDS.items():
        for name in rows:
            module = _module(name)
            parser = Parser(prog=f"nanochat {name}", description=(module.__doc__ or "").partition("\n\n")[0])
            module.configure(parser)
            parts.append(f"\n## nanochat {name}\n\n{_sentence(f'{module.HELP} ({heading})')}\n\n{_help(parser)}")
            for path, below in _below(parser):
                parts.append(f"\n### nanochat {name} {path}\n\n{_help(below)}")
    return "".join(parts)


def _below(parser: argparse.ArgumentParser, path: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                yield f"{path}{name}", below
                yield from _below(below, f"{path}{name} ")


def _help(parser: argparse.ArgumentParser) -> str:
    parser.formatter_class = partial(parser.formatter_class, width=110)  # type: ignore[assignment]
    return f"```text\n{parser.format_help().rstrip()}\n```\n"


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _sentence(text: str) -> str:
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
