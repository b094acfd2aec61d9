"""From documents to token files: split, train the tokenizer, encode on all cores, write with checksums.

Documents are streamed: memory holds the tokenizer's word counts and a few documents in flight, whatever the corpus.
`data.json` is written last, so a preparation that was killed is never mistaken for a whole one.
"""

from __future__ import annotations

import json
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

import numpy as np

from nanochat_framework.contracts.source import Document, DocumentSource
from nanochat_framework.data.split import cut_in_two, held_out_groups
from nanochat_framework.data.token_store import (
    DATA_JSON,
    SCHEMA_VERSION,
    START_DTYPE,
    TOKEN_DTYPE,
    sha256_of,
)
from nanochat_framework.data.tokenizer import PRE_TOKENIZER_NAME, Tokenizer
from nanochat_framework.errors import NanochatError, UsageError


class Bar(Protocol):
    """What progress is reported to."""

    def advance(self, amount: float) -> None:
        """So many bytes more are done."""


ProgressFactory = Callable[[str, float | None], AbstractContextManager[Bar]]
"""(label, total bytes) -> a bar."""


@dataclass(frozen=True)
class PrepareSettings:
    """What `prepare-data` was asked for. `tokenizer` reuses one instead of training one of `vocab_size`."""

    output: Path
    vocab_size: int
    validation_fraction: float
    seed: int
    threads: int
    tokenizer: Path | None = None


class _Corpus:
    """A source with its split; iterates either side again and again."""

    def __init__(self, source: DocumentSource, fraction: float, seed: int) -> None:
        self.source, self.fraction = source, fraction
        sizes: dict[str, int] = {}
        self.documents = 0
        for document in source.documents():
            sizes[document.group] = sizes.get(document.group, 0) + len(document.data)
            self.documents += 1
        if not self.documents or not sum(sizes.values()):
            raise UsageError("there is no text in what was named")
        self.bytes = sum(sizes.values())
        self.groups = sorted(sizes)
        self.held_out = held_out_groups(sizes, fraction, seed)

    @property
    def cuts_last(self) -> bool:
        """Whether, for want of a second group, the last document's end is held out."""
        return not self.held_out and self.fraction > 0

    def side(self, held_out: bool) -> Iterator[Document]:
        """Documents of one side, in order."""
        for number, document in enumerate(self.source.documents(), start=1):
            if self.cuts_last and number == self.documents:
                yield cut_in_two(document, min(0.5, self.fraction * self.bytes / max(len(document.data), 1)))[held_out]
            elif (document.group in self.held_out) == held_out:
                yield document


def prepare(source: DocumentSource, settings: PrepareSettings, progress: ProgressFactory) -> dict[str, Any]:
    """Write a data folder; returns what `data.json` says. Raises UsageError for unusable requests."""
    started = perf_counter()
    tokenizer = Tokenizer.load(settings.tokenizer) if settings.tokenizer else None
    corpus = _Corpus(source, settings.validation_fraction, settings.seed)
    if corpus.cuts_last:
        print("only one group of documents: the end of the last document is held out", file=sys.stderr)
    try:
        settings.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{settings.output}: cannot write there ({error.strerror})") from None
    if tokenizer is None:
        tokenizer = _train_tokenizer(corpus, settings, progress)
    try:
        return _write(corpus, tokenizer, settings, progress, started)
    except OSError as error:
        raise NanochatError(
            f"{settings.output}: writing failed ({error.strerror}); nothing there counts as whole"
        ) from None
    finally:
        for leftover in settings.output.glob(f".tmp-{os.getpid()}-*"):
            leftover.unlink(missing_ok=True)


def _train_tokenizer(corpus: _Corpus, settings: PrepareSettings, progress: ProgressFactory) -> Tokenizer:
    with progress("reading for the tokenizer", float(corpus.bytes)) as bar:

        def texts() -> Iterator[str]:
            for document in corpus.side(held_out=False):
                bar.advance(len(document.data))
                yield document.data.decode("utf-8", "ignore")

        tokenizer = Tokenizer.train(texts(), settings.vocab_size)
    if tokenizer.vocab_size < settings.vocab_size:
        print(
            f"warning: the text has pairs for only {tokenizer.vocab_size} of {settings.vocab_size} tokens; a model may "
            f"keep vocab_size = {settings.vocab_size}, the rest of its rows stay unused",
            file=sys.stderr,
        )
    return tokenizer


def _write(
    corpus: _Corpus, tokenizer: Tokenizer, settings: PrepareSettings, progress: ProgressFactory, started: float
) -> dict[str, Any]:
    files: dict[str, Any] = {}
    renames: list[tuple[Path, Path]] = []
    with progress("encoding", float(corpus.bytes)) as bar:
        for name, held_out in (("tokens", False), ("val", True)):
            facts, paths = _encode_side(corpus.side(held_out), tokenizer, settings, name, bar)
            if facts["documents"]:
                files[f"{name}.bin"] = facts
                renames += paths
    data = {
        "schema_version": SCHEMA_VERSION,
        "tokenizer_sha256": tokenizer.fingerprint,
        "vocab_size": tokenizer.vocab_size,
        "pre_tokenizer": PRE_TOKENIZER_NAME,
        "documents": "<|bos|> text <|eos|>",
        "seed": settings.seed,
        "held_out_groups": sorted(corpus.held_out),
        "files": files,
        "seconds": round(perf_counter() - started, 2),
    }
    (settings.output / DATA_JSON).unlink(missing_ok=True)
    _write_text(settings.output / "tokenizer.json", tokenizer.to_json())
    for temporary, final in renames:
        os.replace(temporary, final)
    _write_text(settings.output / DATA_JSON, json.dumps(data, indent=1) + "\n")
    return data


def _encode_side(
    documents: Iterator[Document], tokenizer: Tokenizer, settings: PrepareSettings, name: str, bar: Bar
) -> tuple[dict[str, Any], list[tuple[Path, Path]]]:
    """Encode one side into temporary files; returns its facts and the renames that make it count."""
    paths = [settings.output / f"{name}.bin", settings.output / f"{name}.starts.bin"]
    temporary = [path.with_name(f".tmp-{os.getpid()}-{path.name}") for path in paths]
    starts: list[int] = []
    n_tokens = n_bytes = 0
    with temporary[0].open("wb") as file:
        for document, ids in _encoded(documents, tokenizer, settings.threads):
            starts.append(n_tokens)
            n_tokens += len(ids)
            n_bytes += len(document.data)
            file.write(ids.tobytes())
            bar.advance(len(document.data))
        _sync(file.fileno())
    with temporary[1].open("wb") as file:
        file.write(np.array(starts, dtype=START_DTYPE).tobytes())
        _sync(file.fileno())
    facts = {"tokens": n_tokens, "documents": len(starts), "bytes": n_bytes, "sha256": sha256_of(temporary[0])}
    return facts, list(zip(temporary, paths, strict=True))


def _encoded(
    documents: Iterator[Document], tokenizer: Tokenizer, threads: int
) -> Iterator[tuple[Document, np.ndarray]]:
    """Documents with their ids, in order, encoded on several threads (the encoder releases Python's lock)."""

    def encode(document: Document) -> np.ndarray:
        ids = [tokenizer.bos_id, *tokenizer.encode(document.data), tokenizer.eos_id]
        return np.array(ids, dtype=TOKEN_DTYPE)

    tokenizer.encode("")  # builds the encoder once, before the threads need it
    with ThreadPoolExecutor(max_workers=threads) as pool:
        waiting: deque[tuple[Document, Any]] = deque()
        for document in documents:
            waiting.append((document, pool.submit(encode, document)))
            if len(waiting) > 4 * threads:
                first, future = waiting.popleft()
                yield first, future.result()
        for first, future in waiting:
            yield first, future.result()


def _write_text(path: Path, text: str) -> None:
    temporary = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        _sync(file.fileno())
    os.replace(temporary, path)


def _sync(descriptor: int) -> None:
    os.fsync(descriptor)
