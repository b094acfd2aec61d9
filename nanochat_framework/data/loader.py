"""Batches as a pure function of the step: resuming at any step costs nothing, on any number of processes.

A plan says which rows a step has; `data.plan` makes that choice, this module fills the rows with tokens. How many rows a
step has is part of the configuration and does not depend on the number of processes, which share them out: of P =
world_size · micro_batches parts, micro-batch m of rank r is the one that takes every P-th row from m · world_size + r on. A
run is therefore the same run on any number of devices.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch
from torch import Tensor

from nanochat_framework.data.packing import Piece
from nanochat_framework.data.plan import LoaderPlan, TokenStream
from nanochat_framework.model.documents import Documents

IGNORED_TARGET = -100


@dataclass(frozen=True)
class Batch:
    """One micro-batch. `tokens` and `targets` (batch, seq) int64; a target of -100 counts for nothing.

    `documents` says which document each position belongs to, where mixers keep documents apart; None elsewhere.
    """

    tokens: Tensor
    targets: Tensor
    documents: Documents | None = None

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        if self.tokens.device == device:
            return self
        documents = None if self.documents is None else self.documents.to(device)
        return Batch(self.tokens.to(device, non_blocking=True), self.targets.to(device, non_blocking=True), documents)


def batch(plan: LoaderPlan, step: int, micro: int = 0, rank: int = 0) -> Batch:
    """The micro-batch of a step (from 0) that a rank takes; pure in its arguments."""
    rows = plan.rows(step, micro, rank)
    filled = [(plan.streams[source], pieces) for source, pieces in rows]
    return fill_rows(filled, plan.phase(step).seq_len, apart=plan.document_attention)


def fill_rows(rows: Sequence[tuple[TokenStream, Sequence[Piece]]], seq_len: int, *, apart: bool) -> Batch:
    """Rows of tokens and their targets, padded with token 0 and target -100.

    Args:
        rows: for each row its source and pieces, seq_len positions together at most.
        seq_len: length of a row.
        apart: whether documents are told apart: then nothing is predicted from one into the next. Each piece is a
            document of its own, cut where documents of the source start; padding is the last document of its row.
    """
    tokens = np.zeros((len(rows), seq_len), dtype=np.int64)
    targets = np.full((len(rows), seq_len), IGNORED_TARGET, dtype=np.int64)
    begins = np.zeros((len(rows), seq_len), dtype=np.int64)
    for row, (stream, pieces) in enumerate(rows):
        at = 0
        for first, count in pieces:
            read = np.asarray(stream.tokens[first : first + count + 1])
            tokens[row, at : at + count], targets[row, at : at + count] = read[:-1], read[1:]
            if apart:
                begins[row, at] = 1
                inside = _starts_inside(stream, first, count) - first + at
                targets[row, inside - 1] = IGNORED_TARGET
                inside = inside[inside < seq_len]
                begins[row, inside] = 1
            at += count
        if at < seq_len:
            begins[row, at] = 1
    documents = Documents(torch.from_numpy(begins.cumsum(axis=1) - 1)) if apart else None
    return Batch(torch.from_numpy(tokens), torch.from_numpy(targets), documents)


def _starts_inside(stream: TokenStream, first: int, count: int) -> np.ndarray:
    """Where documents start among the tokens that are predicted by a piece, after `first` up to `first + count`."""
    starts = stream.known_starts()
    low, high = np.searchsorted(starts, (first + 1, first + count + 1))
    return starts[low:high]


class PrefetchLoader:
    """The micro-batches of one step after another, with the next step's already in flight on a thread."""

    def __init__(self, plan: LoaderPlan, *, start_step: int = 0, rank: int = 0) -> None:
        self.plan, self.rank = plan, rank
        self.wait_seconds = 0.0
        """Time that training has waited for data, in seconds, since the start."""
        self._step = start_step
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="loader")
        self._next: Future[list[Batch]] = self._pool.submit(self._load, start_step)

    def _load(self, step: int) -> list[Batch]:
        return [batch(self.plan, step, micro, self.rank) for micro in range(self.plan.micro_batches(step))]

    def next(self) -> list[Batch]:
        """All micro-batches of the next step."""
        started = perf_counter()
        batches = self._next.result()
        self.wait_seconds += perf_counter() - started
        self._step += 1
        self._next = self._pool.submit(self._load, self._step)
        return batches

    def close(self) -> None:
        """Stop the thread; may be called twice."""
        self._pool.shutdown(wait=True, cancel_futures=True)


class EvaluationBatches:
    """Held-out windows in order, always the same: every token but the first is predicted exactly once.

    `max_batches` limits their number; None takes all, the last window padded with targets of -100. With `starts`, the first
    token of each document, documents are told apart, and their first tokens are not predicted.
    """

    def __init__(
        self,
        tokens: np.ndarray,
        *,
        seq_len: int,
        batch_size: int,
        max_batches: int | None,
        starts: np.ndarray | None = None,
    ) -> None:
        self._stream = TokenStream("held-out tokens", tokens, starts)
        self.seq_len, self.batch_size = seq_len, batch_size
        self.n_windows = -(-(len(tokens) - 1) // seq_len)
        batches = -(-self.n_windows // batch_size)
        self.n_batches = batches if max_batches is None else min(batches, max_batches)

    def __iter__(self) -> Iterator[Batch]:
        last = len(self._stream.tokens) - 1
        for number in range(self.n_batches):
            first = number * self.batch_size
            windows = range(first, min(first + self.batch_size, self.n_windows))
            places = [window * self.seq_len for window in windows]
            rows = [(self._stream, [(place, min(self.seq_len, last - place))]) for place in places]
            yield fill_rows(rows, self.seq_len, apart=self._stream.starts is not None)
