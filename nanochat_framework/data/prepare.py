"""From documents to token files: split, train the tokenizer, encode on all cores, write with checksums.

Documents are streamed: memory holds the words of the tokenizer's sample and a few megabytes in flight, whatever the
corpus. What is done lies in a workspace, so that a preparation that was killed goes on; `data.json` is written last, so
that it is never mistaken for a whole one. What is written depends on the text and the settings alone.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from nanochat_framework.contracts.source import DocumentSource
from nanochat_framework.data.corpus import Corpus
from nanochat_framework.data.duplicates import without
from nanochat_framework.data.encoders import Encoder, build_encoder, fastest_encoder
from nanochat_framework.data.encoding import Position, cut, encoded
from nanochat_framework.data.overlap import NGRAM, Overlap, measure_overlap
from nanochat_framework.data.progress import ProgressFactory
from nanochat_framework.data.special_tokens import SMALLEST_VOCABULARY
from nanochat_framework.data.token_store import DATA_JSON, SCHEMA_VERSION, TOKEN_DTYPE
from nanochat_framework.data.token_writer import Finished, TokenWriter
from nanochat_framework.data.tokenizer import Tokenizer
from nanochat_framework.data.tokenizer_training import Vocabulary, train_tokenizer, training_text
from nanochat_framework.data.workspace import Workspace
from nanochat_framework.errors import NanochatError, StoppedOnRequest, UsageError

COMMIT_BYTES = 2**26
"""So much text is encoded between two entries in the journal, and at most so much again after a kill."""
_MEASURED_BYTES = 2**22


@dataclass(frozen=True)
class PrepareSettings:
    """What `prepare-data` was asked for.

    `tokenizer` reuses one instead of training one of `vocab_size` on at most `tokenizer_bytes` of text; `encoder` is a
    name, None for the fastest. `drop_duplicates` leaves out training documents that nearly repeat others.
    """

    output: Path
    vocab_size: int
    validation_fraction: float
    seed: int
    threads: int
    tokenizer: Path | None = None
    tokenizer_bytes: int = 200_000_000
    encoder: str | None = None
    drop_duplicates: bool = False


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
    if settings.encoder:  # before any long work
        build_encoder(settings.encoder, given or Tokenizer.train([], SMALLEST_VOCABULARY))
    with progress("reading", None) as bar:
        corpus = Corpus(source, settings.validation_fraction, settings.seed, bar.advance)
    request = {
        "text": corpus.sha256,
        "validation_fraction": settings.validation_fraction,
        "seed": settings.seed,
        "tokenizer": given.fingerprint if given else None,
        "vocab_size": None if given else settings.vocab_size,
        "tokenizer_bytes": None if given else settings.tokenizer_bytes,
        "drop_duplicates": settings.drop_duplicates,
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
        sides = {writer.name: writer.finished() for writer in writers if writer.documents}
        if "tokens.bin" not in sides:
            raise UsageError("too little text to hold some of it out; name more, or say --validation-fraction 0")
        return Prepared(self._publish(tokenizer, trained_on, sides), n_bytes, seconds)

    def _tokenizer(self, given: Tokenizer | None) -> tuple[Tokenizer, int]:
        """The tokenizer, and on how many bytes it was trained (0 for a given one)."""
        journal = self.work.journal()
        path = self.work.path("tokenizer.json")
        if journal is not None:
            return Tokenizer.load(path), int(journal["trained_on"])
        if given:
            tokenizer, trained_on = given, 0
        else:
            wanted = Vocabulary(self.settings.vocab_size, self.settings.tokenizer_bytes, self.settings.seed)
            tokenizer, trained_on = train_tokenizer(self.corpus, wanted, self.progress)
        self.work.write("tokenizer.json", tokenizer.to_json())
        self.work.commit([], {"trained_on": trained_on, "position": [0, 0], "tokens": {}, "val": {}})
        return tokenizer, trained_on

    def _encoder(self, tokenizer: Tokenizer) -> Encoder:
        if self.settings.encoder:
            _say(f"encoder: {self.settings.encoder}, as asked for")
            return build_encoder(self.settings.encoder, tokenizer)
        sample = b"".join(training_text(self.corpus, min(_MEASURED_BYTES, self.corpus.bytes // 8)))
        choice = fastest_encoder(tokenizer, sample.decode("utf-8", "ignore"))
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

    def _publish(self, tokenizer: Tokenizer, trained_on: int, sides: dict[str, Finished]) -> dict[str, Any]:
        overlap, sides = self._overlap(sides, tokenizer)
        data = {
            "schema_version": SCHEMA_VERSION,
            "tokenizer_sha256": tokenizer.fingerprint,
            "tokenizer_trained_on_bytes": trained_on,
            "vocab_size": tokenizer.vocab_size,
            "pre_tokenizer": tokenizer.split or "as tokenizer.json says",
            "documents": _form(tokenizer),
            "text_sha256": self.corpus.sha256,
            "seed": self.settings.seed,
            "split": self.corpus.facts(),
            "overlap": overlap,
            "files": {name: side.facts for name, side in sides.items()},
        }
        files = {final: name for side in sides.values() for final, name in side.files.items()}
        possible = {f"{side}.{kind}" for side in ("tokens", "val") for kind in ("bin", "starts.bin", "scores.bin")}
        self.work.publish(
            {"tokenizer.json": "tokenizer.json", **files}, last=DATA_JSON, content=data, stale=possible - set(files)
        )
        return data

    def _overlap(self, sides: dict[str, Finished], tokenizer: Tokenizer) -> tuple[dict[str, Any], dict[str, Finished]]:
        """What `data.json` says about overlap, and the sides, without near-duplicates where that was asked for."""
        found, dropped = self._measured(sides), 0
        if self.settings.drop_duplicates and found.repeats.any():
            if found.repeats.all():
                raise UsageError("--drop-duplicates leaves nothing: every document nearly repeats a held-out one")
            dropped = int(found.repeats.sum())
            sides = {**sides, "tokens.bin": without(self.work, sides["tokens.bin"], found.repeats, tokenizer)}
            found = self._measured(sides)
        facts = {
            "run_tokens": NGRAM,
            "held_out_seen": None if found.ngrams_seen is None else round(found.ngrams_seen, 6),
            "sampled_one_in": found.one_in,
            "near_held_out": found.near_held_out,
            "repeating_documents": int(found.repeats.sum()),
            "dropped_documents": dropped,
        }
        return facts, sides

    def _measured(self, sides: dict[str, Finished]) -> Overlap:
        train, held_out = (
            self.work.path(sides[name].files[name]) if name in sides else None for name in ("tokens.bin", "val.bin")
        )
        assert train is not None
        total = sum(side.facts["tokens"] for side in sides.values()) * (2 if held_out else 1)
        with self.progress("comparing documents", float(total * TOKEN_DTYPE.itemsize)) as bar:
            return measure_overlap(train, held_out, lambda tokens: bar.advance(tokens * TOKEN_DTYPE.itemsize))


def _form(tokenizer: Tokenizer) -> str:
    """How a document stands in the files, like `<|bos|> text <|eos|>`."""
    name = tokenizer.tokens.__getitem__
    return " ".join([*map(name, tokenizer.start_ids), "text", name(tokenizer.eos_id)])


def _say(text: str) -> None:
    print(text, file=sys.stderr)
