"""`nanochat prepare-data`: text to a tokenizer and token files."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nanochat_framework.contracts.source import DocumentSource
    from nanochat_framework.data.prepare import Prepared
    from nanochat_framework.plugins import Registry

HELP = "turn text into a tokenizer and token files"

EXAMPLES = """\
examples:
  nanochat prepare-data --source python_stdlib --vocab-size 4096 --output data
  nanochat prepare-data --text book.txt notes/ 'src/**/*.py' --vocab-size 8192 --output data
  nanochat prepare-data --text 'shards/*.jsonl.zst' --field content --vocab-size 32768 --output data
  nanochat prepare-data --text more/ --tokenizer data/tokenizer.json --output more-data

Writes tokenizer.json, tokens.bin, val.bin and data.json. Whole groups of documents (folders, packages) are held out.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
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
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--vocab-size", type=int, default=4096, metavar="N", help="tokens in the vocabulary (4096)")
    parser.add_argument(
        "--tokenizer", type=Path, metavar="FILE", help="use this tokenizer.json instead of training one"
    )
    parser.add_argument(
        "--tokenizer-bytes",
        type=int,
        default=200_000_000,
        metavar="N",
        help="most text to train the tokenizer on, drawn by chance (200000000)",
    )
    parser.add_argument(
        "--encoder", metavar="NAME", help="gigatoken, tiktoken or tokenizers, instead of the one measured to be fastest"
    )
    parser.add_argument(
        "--drop-duplicates", action="store_true", help="leave out training documents that nearly repeat others"
    )
    parser.add_argument(
        "--validation-fraction", type=float, default=0.05, metavar="X", help="share of bytes to hold out (0.05)"
    )
    parser.add_argument("--seed", type=int, default=0, help="which groups are held out (0)")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="encoding threads; 0 takes all cores")


def run(arguments: argparse.Namespace) -> int:
    """Prepare, then print where things are and how big."""
    from nanochat_framework.cli.common import load_host
    from nanochat_framework.cli.progress import Progress
    from nanochat_framework.data.prepare import PrepareSettings, prepare
    from nanochat_framework.data.special_tokens import SMALLEST_VOCABULARY
    from nanochat_framework.errors import UsageError

    if not 0 <= arguments.validation_fraction <= 0.5:
        raise UsageError(f"--validation-fraction {arguments.validation_fraction} is not between 0 and 0.5")
    if arguments.vocab_size < SMALLEST_VOCABULARY:
        raise UsageError(
            f"--vocab-size {arguments.vocab_size} is below {SMALLEST_VOCABULARY} (special tokens and bytes)"
        )
    if arguments.tokenizer_bytes < 1_000_000:
        raise UsageError(f"--tokenizer-bytes {arguments.tokenizer_bytes} is below 1000000; a vocabulary needs text")
    if arguments.threads < 0:
        raise UsageError(f"--threads {arguments.threads} is negative")
    host = load_host()
    settings = PrepareSettings(
        output=arguments.output,
        vocab_size=arguments.vocab_size,
        validation_fraction=arguments.validation_fraction,
        seed=arguments.seed,
        threads=arguments.threads or os.cpu_count() or 1,
        tokenizer=arguments.tokenizer,
        tokenizer_bytes=arguments.tokenizer_bytes,
        encoder=arguments.encoder,
        drop_duplicates=arguments.drop_duplicates,
    )
    prepared = prepare(
        _source(arguments, host.registry),
        settings,
        lambda label, total: Progress(label, total, "MB", scale=1e-6),
    )
    _report(prepared, settings.output)
    return 0


def _source(arguments: argparse.Namespace, registry: Registry) -> DocumentSource:
    from pydantic import ValidationError

    from nanochat_framework.errors import UsageError
    from nanochat_framework.plugins import UnknownComponent

    if not (arguments.text or arguments.source):
        raise UsageError("name what to prepare: --text PATH... or --source NAME")
    try:
        component = registry.get("source", arguments.source or "text")
    except UnknownComponent as error:
        raise UsageError(f"--source: {error}") from None
    if component.traits["yields"] != "documents":
        names = [c.name for c in registry.components("source") if c.traits["yields"] == "documents"]
        raise UsageError(f"--source {component.name} has no documents to prepare; these do: {', '.join(names)}")
    asked = {
        "paths": tuple(arguments.text or ()),
        "field": arguments.field,
        "score_field": arguments.score_field,
        "skip_malformed": arguments.skip_malformed,
    }
    given = {key: value for key, value in asked.items() if value}
    config = component.config_class()
    option = {
        "paths": "--text",
        "field": "--field",
        "score_field": "--score-field",
        "skip_malformed": "--skip-malformed",
    }
    unknown = next((key for key in given if key not in config.model_fields), None)
    if unknown is not None:
        raise UsageError(f"{option[unknown]} is not for --source {component.name}")
    try:
        filled = config(**given)
    except ValidationError as error:
        key = str(error.errors()[0]["loc"][0])
        raise UsageError(
            f"--source {component.name} needs {option.get(key, key)}: {error.errors()[0]['msg']}"
        ) from None
    source: DocumentSource = component.load_factory()(filled)
    return source


def _report(prepared: Prepared, output: Path) -> None:
    data = prepared.data
    print(f"tokenizer.json  {data['vocab_size']} tokens")
    for name, facts in data["files"].items():
        ratio = facts["bytes"] / max(facts["tokens"], 1)
        print(
            f"{name:<14}  {facts['documents']:,} documents, {facts['bytes'] / 1e6:.2f} MB, "
            f"{facts['tokens']:,} tokens ({ratio:.2f} bytes each)"
        )
    _report_overlap(data["overlap"])
    megabytes = prepared.encoded_bytes / 1e6
    speed = f" ({megabytes / prepared.seconds:.1f} MB/s)" if prepared.seconds else ""
    print(f"in {output}: {megabytes:.1f} MB encoded in {prepared.seconds:.1f} s{speed}", file=sys.stderr)


def _report_overlap(overlap: dict[str, Any]) -> None:
    seen, dropped = overlap["held_out_seen"], overlap["dropped_documents"]
    if seen is not None:
        sample = f" (1 in {overlap['sampled_one_in']} compared)" if overlap["sampled_one_in"] > 1 else ""
        print(
            f"held out        {seen:.2%} of its {overlap['run_tokens']}-token runs occur in training{sample}, "
            f"{overlap['near_held_out']:,} training documents nearly repeat a held-out one"
        )
    left = f", {dropped:,} dropped" if dropped else ""
    print(f"duplicates      {overlap['repeating_documents']:,} training documents nearly repeat another{left}")
