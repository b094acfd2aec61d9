"""`nanochat prepare-data`: text to a tokenizer and token files."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nanochat_framework.cli.device_options import check_threads
from nanochat_framework.cli.document_source import add_source_arguments, build_source

if TYPE_CHECKING:
    from nanochat_framework.data.prepare import Prepared

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
    add_source_arguments(parser)
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
    from nanochat_framework.data.tokenizer_training import Vocabulary
    from nanochat_framework.errors import UsageError
    from nanochat_framework.machine.cpu import usable_cores

    if not 0 <= arguments.validation_fraction <= 0.5:
        raise UsageError(f"--validation-fraction {arguments.validation_fraction} is not between 0 and 0.5")
    Vocabulary(arguments.vocab_size, arguments.tokenizer_bytes, arguments.seed).check()
    check_threads(arguments.threads)
    host = load_host()
    settings = PrepareSettings(
        output=arguments.output,
        vocab_size=arguments.vocab_size,
        validation_fraction=arguments.validation_fraction,
        seed=arguments.seed,
        threads=arguments.threads or usable_cores(),
        tokenizer=arguments.tokenizer,
        tokenizer_bytes=arguments.tokenizer_bytes,
        encoder=arguments.encoder,
        drop_duplicates=arguments.drop_duplicates,
    )
    prepared = prepare(
        build_source(arguments, host.registry),
        settings,
        lambda label, total: Progress(label, total, "MB", scale=1e-6),
    )
    _report(prepared, settings.output)
    return 0


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
