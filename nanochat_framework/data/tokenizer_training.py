"""Training the tokenizer on a corpus, or on a sample of it that is drawn by chance and bounded."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass

from nanochat_framework.data.corpus import Corpus
from nanochat_framework.data.pieces import pieces
from nanochat_framework.data.progress import ProgressFactory
from nanochat_framework.data.special_tokens import SMALLEST_VOCABULARY
from nanochat_framework.data.split import drawn
from nanochat_framework.data.tokenizer import Tokenizer
from nanochat_framework.data.tokenizer_file import LARGEST_VOCABULARY
from nanochat_framework.errors import UsageError

SMALLEST_SAMPLE = 1_000_000
_SAMPLE_PIECE_BYTES = 2**14


@dataclass(frozen=True)
class Vocabulary:
    """What to train: `vocab_size` tokens on at most `most_bytes` of text."""

    vocab_size: int
    most_bytes: int
    seed: int

    def check(self) -> None:
        """Raises UsageError for sizes that make no vocabulary."""
        if self.vocab_size < SMALLEST_VOCABULARY:
            raise UsageError(
                f"--vocab-size {self.vocab_size} is below {SMALLEST_VOCABULARY} (special tokens and bytes)"
            )
        if self.vocab_size > LARGEST_VOCABULARY:
            raise UsageError(f"--vocab-size {self.vocab_size} is above {LARGEST_VOCABULARY}, which is beyond all use")
        if self.most_bytes < SMALLEST_SAMPLE:
            raise UsageError(f"--tokenizer-bytes {self.most_bytes} is below {SMALLEST_SAMPLE}; a vocabulary needs text")


def train_tokenizer(corpus: Corpus, wanted: Vocabulary, progress: ProgressFactory) -> tuple[Tokenizer, int]:
    """Train on what is not held out; returns how many bytes it was, too. Says on stderr if it was a sample."""
    available = corpus.bytes * (1 - corpus.fraction)
    share = min(1.0, wanted.most_bytes / available)
    used = 0
    with progress("reading for the tokenizer", float(min(wanted.most_bytes, available))) as bar:

        def texts() -> Iterator[str]:
            nonlocal used
            for data in training_text(corpus, wanted.most_bytes, share, wanted.seed):
                used += len(data)
                bar.advance(len(data))
                yield data.decode("utf-8", "ignore")

        tokenizer = Tokenizer.train(texts(), wanted.vocab_size)
    if share < 1:
        _say(f"tokenizer: trained on a sample of {used / 1e6:,.0f} of {available / 1e6:,.0f} MB (--tokenizer-bytes)")
    if tokenizer.vocab_size < wanted.vocab_size:
        _say(
            f"warning: the text has pairs for only {tokenizer.vocab_size} of {wanted.vocab_size} tokens; a model may "
            f"keep vocab_size = {wanted.vocab_size}, the rest of its rows stay unused"
        )
    return tokenizer, used


def training_text(corpus: Corpus, most_bytes: int, share: float = 1.0, seed: int = 0) -> Iterator[bytes]:
    """What is not held out, in pieces, each taken with a chance of `share`, until `most_bytes` are reached."""
    size = 0
    for number, (held_out, document) in enumerate(corpus):
        if held_out:
            continue
        for part, data in enumerate(pieces(document.data, target=_SAMPLE_PIECE_BYTES)):
            if share >= 1 or drawn(f"{number}:{part}", share, seed):
                yield data
                size += len(data)
                if size >= most_bytes:
                    return


def _say(text: str) -> None:
    print(text, file=sys.stderr)
