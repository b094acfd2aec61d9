"""`nanochat tokenizer`: train a tokenizer alone, or compare one with others."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from nanochat_framework.cli.document_source import add_source_arguments, build_source

if TYPE_CHECKING:
    from nanochat_framework.data.tokenizer_evaluation import Row

HELP = "train a tokenizer alone, or compare one with others"

EXAMPLES = """\
examples:
  nanochat tokenizer train --text code/ prose/ --vocab-size 32768 --output tokenizer.json
  nanochat tokenizer eval tokenizer.json --against other/tokenizer.json model.gguf --text my.txt

`eval` prints bytes per token (more is better) on texts that come with nanochat and on yours, beside the named tokenizers
and tiktoken's where they are in its cache, and proves that every byte string comes back.
"""
_MOST_BYTES = 10_000_000


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    actions = parser.add_subparsers(dest="action", metavar="train|eval", required=True)
    train = actions.add_parser("train", help="learn a vocabulary from text and write tokenizer.json")
    add_source_arguments(train)
    train.add_argument("--output", type=Path, required=True, metavar="FILE", help="file to write")
    train.add_argument("--vocab-size", type=int, default=4096, metavar="N", help="tokens in the vocabulary (4096)")
    train.add_argument(
        "--tokenizer-bytes",
        type=int,
        default=200_000_000,
        metavar="N",
        help="most text to train on, drawn by chance (200000000)",
    )
    train.add_argument("--seed", type=int, default=0, help="which text is drawn (0)")
    evaluate = actions.add_parser("eval", help="bytes per token beside other tokenizers, and the round trip")
    evaluate.add_argument("tokenizer", type=Path, help="a tokenizer.json of prepare-data or tokenizer train")
    evaluate.add_argument(
        "--against", type=Path, nargs="+", default=[], metavar="FILE", help="other tokenizer.json or .gguf files"
    )
    evaluate.add_argument(
        "--text", type=Path, nargs="+", default=[], metavar="FILE", help="your own texts (10 MB of each)"
    )
    evaluate.add_argument("--json", action="store_true", help="as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Train or evaluate; 1 if a round trip fails."""
    return _train(arguments) if arguments.action == "train" else _evaluate(arguments)


def _train(arguments: argparse.Namespace) -> int:
    from nanochat_framework.cli.common import load_host
    from nanochat_framework.cli.progress import Progress
    from nanochat_framework.data.corpus import Corpus
    from nanochat_framework.data.progress import ProgressFactory
    from nanochat_framework.data.tokenizer_training import Vocabulary, train_tokenizer
    from nanochat_framework.runs.atomic import refuse_device, write_atomic

    wanted = Vocabulary(arguments.vocab_size, arguments.tokenizer_bytes, arguments.seed)
    wanted.check()
    refuse_device(arguments.output)  # before the training, which takes its time
    progress: ProgressFactory = lambda label, total: Progress(label, total, "MB", scale=1e-6)  # noqa: E731
    source = build_source(arguments, load_host().registry)
    with progress("reading", None) as bar:
        corpus = Corpus(source, 0.0, arguments.seed, bar.advance)
    tokenizer, trained_on = train_tokenizer(corpus, wanted, progress)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(arguments.output, tokenizer.to_json().encode())
    print(f"{arguments.output}  {tokenizer.vocab_size} tokens, learned from {trained_on / 1e6:.1f} MB")
    return 0


def _evaluate(arguments: argparse.Namespace) -> int:
    from dataclasses import asdict

    from nanochat_framework.cli.common import print_json
    from nanochat_framework.data.reference_tokenizers import cached_references, load_reference
    from nanochat_framework.data.tokenizer import Tokenizer
    from nanochat_framework.data.tokenizer_evaluation import RANDOM_STRINGS, evaluate, lost_bytes, read_texts
    from nanochat_framework.data.tokenizer_samples import SAMPLES

    tokenizer = Tokenizer.load(arguments.tokenizer)
    references = [*map(load_reference, arguments.against), *cached_references()]
    texts = {**SAMPLES, **read_texts(arguments.text, _MOST_BYTES)}
    rows = evaluate(tokenizer, str(arguments.tokenizer), references, texts)
    lost = lost_bytes(tokenizer, texts)
    if arguments.json:
        print_json({"tokenizers": [asdict(row) for row in rows], "round_trip": lost is None})
    else:
        _print_rows(rows, list(texts))
    if lost is not None:
        print(f"round trip FAILED for {lost[:80]!r}", file=sys.stderr)
        return 1
    print(f"round trip: {len(texts)} texts and {RANDOM_STRINGS:,} random byte strings come back", file=sys.stderr)
    return 0


def _print_rows(rows: list[Row], kinds: list[str]) -> None:
    from nanochat_framework.cli.common import print_table

    print_table(
        ("bytes per token", "vocabulary", *kinds, "all", "round trip"),
        [
            (
                row.name,
                f"{row.vocab_size:,}",
                *(f"{row.bytes_per_token[kind]:.3f}" for kind in kinds),
                f"{row.overall:.3f}",
                "yes" if row.round_trip else "no",
            )
            for row in rows
        ],
    )
