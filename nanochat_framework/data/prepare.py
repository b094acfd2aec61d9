"""From documents to token files: split, train the tokenizer, encode on all cores, write with checksums.

Documents are streamed: memory holds the words of the tokenizer's sample and a few megabytes in flight, whatever the
corpus. What is done lies in a workspace, so that a preparation that was killed goes on; `data.json` is written last, so
that it is never mistaken for a whole one. What is written depends on the text and the settings alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

from nanochat_framework.contracts.source import DocumentSource
from nanochat_framework.data.corpus import Corpus
from nanochat_framework.data.encoders import Encoder, build_encoder, fastest_encoder
from nanochat_framework.data.encoding import Position, cut, encoded
from nanochat_framework.data.pieces import pieces
from nanochat_framework.data.split import drawn
from nanochat_framework.data.token_store import DATA_JSON, SCHEMA_VERSION
from nanochat_framework.data.token_writer import TokenWriter
from nanochat_framework.data.tokenizer import Tokenizer
from nanochat_framework.data.tokenizer_file import PRE_TOKENIZER_NAME
from nanochat_framework.data.workspace import Workspace
from nanochat_framework.errors import NanochatError, StoppedOnRequest

COMMIT_BYTES = 2**26
"""So much text is encoded between two entries in the journal, and at most so much again after a kill."""
_SAMPLE_PIECE_BYTES = 2**14
_MEASURED_BYTES = 2**22


class Bar(Protocol):
    """What progress is reported to."""

    def advance(self, amount: float) -> None:
        """So many bytes more are done."""


ProgressFactory = Callable[[str, float | None], AbstractContextManager[Bar]]
"""(label, total bytes) -> a bar."""


@dataclass(frozen=True)
class PrepareSettings:
    """What `prepare-data` was asked for.

    `tokenizer` reuses one instead of training one of `vocab_size` on at most `tokenizer_bytes` of text; `encoder` is a
    name, None for the fastest.
    """

    output: Path
    vocab_size: int
    validation_fraction: float
    seed: int
    threads: int
    tokenizer: Path | None = None
    tokenizer_bytes: int = 200_000_000
    encoder: str | None = None


@dataclass(frozen=True)
class Prepared:
    """What `data.json` says, and how long encoding took: bytes of text and seconds of this process alone."""

    data: dict[str, Any]
    encoded_bytes: int
    seconds: float


def prepare(source: DocumentSource, settings: PrepareSettings, progress: ProgressFactory) -> Prepared:
    """Write a data folder, going on where an earlier process with the same text and settings was stopped.

    Raises UsageError for unusable requests, StoppedOnRequest after Ctrl-C, NanochatError if writing fails.
    """
    given = Tokenizer.load(settings.tokenizer) if settings.tokenizer else None
    with progress("reading", None) as bar:
        corpus = Corpus(source, settings.validation_fraction, settings.seed, bar.advance)
    request = {
        "text": corpus.sha256,
        "validation_fraction": settings.validation_fraction,
        "seed": settings.seed,
        "tokenizer": given.fingerprint if given else None,
        "vocab_size": None if given else settings.vocab_size,
        "tokenizer_bytes": None if given else settings.tokenizer_bytes,
    }
    with Workspace(settings.output, request) as work:
        try:
            return _Preparation(corpus, settings, work, progress).run(given)
        except KeyboardInterrupt:
            raise StoppedOnRequest(f"{settings.output}: stopped; the same command again goes on from here") from None
        except OSError as error:
            raise NanochatError(
                f"{settings.output}: writing failed ({error.strerror}); nothing there counts as whole, the same command "
                f"again goes on"
            ) from None


class _Preparation:
    """One request on its way through the phases."""

    def __init__(self, corpus: Corpus, settings: PrepareSettings, work: Workspace, progress: ProgressFactory) -> None:
        self.corpus, self.settings, self.work, self.progress = corpus, settings, work, progress

    def run(self, given: Tokenizer | None) -> Prepared:
        for change in self.work.changes:
            _say(f"an unfinished preparation there is dropped: {change}")
        ready = self.work.ready()
        if ready is not None:
            _say("going on: everything is encoded")
            self.work.finish()
            return Prepared(ready["content"], 0, 0.0)
        tokenizer, trained_on = self._tokenizer(given)
        encoder = self._encoder(tokenizer)
        started = perf_counter()
        n_bytes, writers = self._encode(tokenizer, encoder, trained_on)
        seconds = perf_counter() - started
        data = self._publish(tokenizer, trained_on, [writer for writer in writers if writer.documents])
        return Prepared(data, n_bytes, seconds)

    def _tokenizer(self, given: Tokenizer | None) -> tuple[Tokenizer, int]:
        """The tokenizer, and on how many bytes it was trained (0 for a given one)."""
        journal = self.work.journal()
        path = self.work.path("tokenizer.json")
        if journal is not None:
            return Tokenizer.load(path), int(journal["trained_on"])
        tokenizer, trained_on = (given, 0) if given else train_tokenizer(self.corpus, self.settings, self.progress)
        self.work.write("tokenizer.json", tokenizer.to_json())
        self.work.commit([], {"trained_on": trained_on, "position": [0, 0], "tokens": {}, "val": {}})
        return tokenizer, trained_on

    def _encoder(self, tokenizer: Tokenizer) -> Encoder:
        if self.settings.encoder:
            return build_encoder(self.settings.encoder, tokenizer)
        sample = "".join(_texts(self.corpus, min(_MEASURED_BYTES, self.corpus.bytes // 8), 1.0, 0))
        choice = fastest_encoder(tokenizer, sample)
        others = [f"{name} {speed:.1f}" for name, speed in choice.speeds.items() if name != choice.encoder.name]
        told = "; ".join([", ".join(others), *choice.left_out.values()])
        _say(f"encoder: {choice.encoder.name}, {choice.speeds[choice.encoder.name]:.1f} MB/s on one thread ({told})")
        return choice.encoder

    def _encode(self, tokenizer: Tokenizer, encoder: Encoder, trained_on: int) -> tuple[int, list[TokenWriter]]:
        """Write both sides' tokens; returns how many bytes this process encoded, and the writers."""
        journal = self.work.journal()
        assert journal is not None
        position = Position(*journal["position"])
        with ExitStack() as stack:
            scores = self.corpus.has_scores
            sides = [
                TokenWriter(self.work, name, journal[name], scores=scores, stack=stack) for name in ("tokens", "val")
            ]
            before = committed = done = sum(side.bytes for side in sides)
            if done:
                _say(f"going on: {done / 1e6:,.1f} of {self.corpus.bytes / 1e6:,.1f} MB are encoded")
            files = [file for side in sides for file in side.files.values()]
            bar = stack.enter_context(self.progress("encoding", float(self.corpus.bytes - before)))
            for batch in encoded(cut(self.corpus, position), tokenizer, encoder, self.settings.threads):
                for held_out, side in enumerate(sides):
                    side.add([one for one in batch if one.piece.held_out == bool(held_out)])
                done = sum(side.bytes for side in sides)
                bar.advance(sum(len(one.piece.data) for one in batch))
                position = batch[-1].piece.end
                if done - committed >= COMMIT_BYTES or done == self.corpus.bytes:
                    committed = done
                    counts = {name: side.counts() for name, side in zip(("tokens", "val"), sides, strict=True)}
                    at = [position.documents, position.offset]
                    self.work.commit(files, {"trained_on": trained_on, "position": at, **counts})
        return done - before, sides

    def _publish(self, tokenizer: Tokenizer, trained_on: int, writers: list[TokenWriter]) -> dict[str, Any]:
        data = {
            "schema_version": SCHEMA_VERSION,
            "tokenizer_sha256": tokenizer.fingerprint,
            "tokenizer_trained_on_bytes": trained_on,
            "vocab_size": tokenizer.vocab_size,
            "pre_tokenizer": PRE_TOKENIZER_NAME,
            "documents": "<|bos|> text <|eos|>",
            "text_sha256": self.corpus.sha256,
            "seed": self.settings.seed,
            "split": self.corpus.facts(),
            "files": {writer.name: writer.facts() for writer in writers},
        }
        names = ["tokenizer.json", *(name for writer in writers for name in writer.files)]
        possible = {f"{side}.{kind}" for side in ("tokens", "val") for kind in ("bin", "starts.bin", "scores.bin")}
        self.work.publish({name: name for name in names}, last=DATA_JSON, content=data, stale=possible - set(names))
        return data


def train_tokenizer(corpus: Corpus, settings: PrepareSettings, progress: ProgressFactory) -> tuple[Tokenizer, int]:
    """Train on what is not held out, on a sample drawn from the seed where that is too much; how many bytes it was."""
    available = corpus.bytes * (1 - settings.validation_fraction)
    limit = settings.tokenizer_bytes
    share = min(1.0, limit / available)
    used = 0
    with progress("reading for the tokenizer", float(min(limit, available))) as bar:

        def texts() -> Iterator[str]:
            nonlocal used
            for text in _texts(corpus, limit, share, settings.seed):
                size = len(text.encode())
                used += size
                bar.advance(size)
                yield text

        tokenizer = Tokenizer.train(texts(), settings.vocab_size)
    if share < 1:
        _say(f"tokenizer: trained on a sample of {used / 1e6:,.0f} of {available / 1e6:,.0f} MB (--tokenizer-bytes)")
    if tokenizer.vocab_size < settings.vocab_size:
        _say(
            f"warning: the text has pairs for only {tokenizer.vocab_size} of {settings.vocab_size} tokens; a model may "
            f"keep vocab_size = {settings.vocab_size}, the rest of its rows stay unused"
        )
    return tokenizer, used


def _texts(corpus: Corpus, limit: int, share: float, seed: int) -> Iterator[str]:
    """Training text in pieces, each taken with a chance of `share`, until `limit` bytes are reached."""
    size = 0
    for number, (held_out, document) in enumerate(corpus):
        if held_out:
            continue
        for part, data in enumerate(pieces(document.data, target=_SAMPLE_PIECE_BYTES)):
            if share >= 1 or drawn(f"{number}:{part}", share, seed):
                yield data.decode("utf-8", "ignore")
                size += len(data)
                if size >= limit:
                    return


def _say(text: str) -> None:
    print(text, file=sys.stderr)
