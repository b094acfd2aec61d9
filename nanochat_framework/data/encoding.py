"""Documents to ids on all cores, in order, in bounded memory, from any place on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from nanochat_framework.contracts.source import Document
from nanochat_framework.data.encoders import Encoder
from nanochat_framework.data.pieces import pieces
from nanochat_framework.data.token_store import TOKEN_DTYPE
from nanochat_framework.data.tokenizer import Tokenizer

BATCH_BYTES = 2**20
BATCH_PIECES = 4096
"""A task of one thread is at least this much text, or this many documents."""


@dataclass(frozen=True, order=True)
class Position:
    """So many documents are done, and so many bytes of the next one."""

    documents: int = 0
    offset: int = 0


@dataclass(frozen=True)
class Piece:
    """Part of a document; `end` is the position after it."""

    document: Document
    held_out: bool
    data: bytes
    is_first: bool
    is_last: bool
    end: Position


@dataclass(frozen=True)
class Encoded:
    """A piece's ids, (n,) u32, with what begins a document before its first piece and eos after its last."""

    piece: Piece
    ids: np.ndarray


def cut(documents: Iterable[tuple[bool, Document]], start: Position) -> Iterator[Piece]:
    """Pieces of all documents from a position on; the position must be one where a piece ended."""
    for number, (held_out, document) in enumerate(documents):
        if number < start.documents:
            continue
        done, size = (start.offset if number == start.documents else 0), len(document.data)
        for data in pieces(document.data, start=done):
            first, done = done == 0, done + len(data)
            end = Position(number + 1) if done == size else Position(number, done)
            yield Piece(document, held_out, data, first, done == size, end)


def encoded(
    documents: Iterable[Piece], tokenizer: Tokenizer, encoder: Encoder, threads: int
) -> Iterator[list[Encoded]]:
    """Batches of pieces with their ids, in order. The encoders release Python's lock, so threads are enough.

    At most two batches for each thread are in flight.
    """

    def work(batch: list[Piece]) -> list[Encoded]:
        return [Encoded(piece, _with_marks(piece, tokenizer, encoder)) for piece in batch]

    waiting: deque[Future[list[Encoded]]] = deque()
    pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="encoder")
    try:
        for batch in _batches(documents):
            waiting.append(pool.submit(work, batch))
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _with_marks(piece: Piece, tokenizer: Tokenizer, encoder: Encoder) -> np.ndarray:
    ids = tokenizer.encode_array(piece.data, encoder)
    before = tokenizer.start_ids if piece.is_first else ()
    after = (tokenizer.eos_id,) if piece.is_last else ()
    return np.concatenate([np.array(before, TOKEN_DTYPE), ids, np.array(after, TOKEN_DTYPE)], dtype=TOKEN_DTYPE)


def _batches(documents: Iterable[Piece]) -> Iterator[list[Piece]]:
    batch: list[Piece] = []
    size = 0
    for piece in documents:
        batch.append(piece)
        size += len(piece.data)
        if size >= BATCH_BYTES or len(batch) >= BATCH_PIECES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
