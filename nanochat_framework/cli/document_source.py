"""Arguments that name a document source, and the source."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nanochat_framework.contracts.source import DocumentSource
    from nanochat_framework.plugins import Registry

_OPTIONS = {
    "paths": "--text",
    "field": "--field",
    "score_field": "--score-field",
    "skip_malformed": "--skip-malformed",
}


def add_source_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--text`, `--source` and what sources of rows take."""
    parser.add_argument(
        "--text",
        nargs="+",
        metavar="PATH",
        help="files, folders or patterns; .jsonl, .jsonl.gz, .jsonl.zst and .parquet files by their rows",
    )
    parser.add_argument(
        "--source", metavar="NAME", help="a document source (`nanochat components list source`); text where --text is"
    )
    parser.add_argument("--field", metavar="NAME", help="field with the text, or with messages (text, else messages)")
    parser.add_argument("--score-field", metavar="NAME", help="field with a number that a curriculum orders by")
    parser.add_argument("--skip-malformed", action="store_true", help="count and leave out malformed rows")


def build_source(arguments: argparse.Namespace, registry: Registry) -> DocumentSource:
    """The source that the arguments name. Raises UsageError if there is none such, or it takes other options."""
    from pydantic import ValidationError

    from nanochat_framework.errors import UsageError
    from nanochat_framework.plugins.settings import named

    if not (arguments.text or arguments.source):
        raise UsageError("name what to prepare: --text PATH... or --source NAME")
    component = named(registry, "source", arguments.source or "text", "--source")
    if component.traits["yields"] != "documents":
        names = [c.name for c in registry.components("source") if c.traits["yields"] == "documents"]
        raise UsageError(f"--source {component.name} has no documents to prepare; these do: {', '.join(names)}")
    config = component.config_class()
    asked = {key: getattr(arguments, "text" if key == "paths" else key) for key in _OPTIONS}
    given = {key: tuple(value) if key == "paths" else value for key, value in asked.items() if value}
    unknown = next((key for key in given if key not in config.model_fields), None)
    if unknown is not None:
        raise UsageError(f"{_OPTIONS[unknown]} is not for --source {component.name}")
    try:
        filled = config(**given)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        raise UsageError(f"--source {component.name} needs {_OPTIONS.get(key, key)}: {first['msg']}") from None
    source: DocumentSource = component.load_factory()(filled)
    return source
