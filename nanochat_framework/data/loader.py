"""Batches as a pure function of the step: resuming at any step costs nothing.

Tokens are cut into windows of `seq_len` (plus one token, the last target). Each epoch visits every window once, in an
order drawn from (seed, epoch). Row i of step s has the global number g = s · rows_per_step + i; its window is place
g mod n_windows in the order of epoch g div n_windows. How many rows a step has is part of the configuration and does not
depend on the number of processes, which share them out: of P = world_size · micro_batches parts, micro-batch m of rank r
is the one that takes every P-th row from m · world_size + r on. A run is therefore the same run on any number of devices.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from time import perf_counter

import numpy as np
import torch
from torch import Tensor

from nanochat_framework.errors import UsageError
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


@dataclass(frozen=True)
class LoaderPlan:
    """Everything that decides which tokens a step sees.

    `batch_size` is the most sequences that a process takes at a time, and `gradient_accumulation` micro-batches of that
    size make one step, over all processes.
    """

    n_tokens: int
    seq_len: int
    batch_size: int
    gradient_accumulation: int = 1
    world_size: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n_windows < 1:
            raise UsageError(
                f"{self.n_tokens} tokens are too few for one sequence of data.seq_len={self.seq_len}; prepare more text "
                f"or set a shorter data.seq_len"
            )
        if self.rows_per_step % self.world_size:
            raise UsageError(
                f"a step has {self.rows_per_step} sequences (train.batch_size x train.gradient_accumulation), which "
                f"{self.world_size} processes cannot share evenly; choose sizes that they divide"
            )

    @property
    def n_windows(self) -> int:
        """Windows in an epoch."""
        return (self.n_tokens - 1) // self.seq_len

    @property
    def rows_per_step(self) -> int:
        """Sequences in one optimizer step, over all micro-batches and ranks."""
        return self.batch_size * self.gradient_accumulation

    @property
    def micro_batches(self) -> int:
        """Micro-batches of one step on one rank, as few as `batch_size` allows."""
        return -(-self.rows_per_step // (self.world_size * self.batch_size))

    def windows(self, step: int, micro: int, rank: int) -> list[int]:
        """Window numbers of a micro-batch; `step` counts from 0."""
        begin, parts = step * self.rows_per_step, self.world_size * self.micro_batches
        rows = range(begin + micro * self.world_size + rank, begin + self.rows_per_step, parts)
        return [int(epoch_order(self, row // self.n_windows)[row % self.n_windows]) for row in rows]


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, n_windows: int) -> np.ndarray:
    return np.random.Generator(np.random.PCG64([seed, epoch])).permutation(n_windows)


def epoch_order(plan: LoaderPlan, epoch: int) -> np.ndarray:
    """(n_windows,) int64: the order of an epoch; the last two epochs' are kept, for all threads."""
    return _order(plan.seed, epoch, plan.n_windows)


def batch(plan: LoaderPlan, tokens: np.ndarray, step: int, micro: int = 0, rank: int = 0) -> Batch:
    """The micro-batch of a step (from 0), pure in its arguments; `tokens` (n,) uint32."""
    rows = [
        np.asarray(tokens[window * plan.seq_len : (window + 1) * plan.seq_len + 1], dtype=np.int64)
        for window in plan.windows(step, micro, rank)
    ]
    block = torch.from_numpy(np.stack(rows))
    return Batch(block[:, :-1].contiguous(), block[:, 1:].contiguous())


class PrefetchLoader:
    """The micro-batches of one step after another, with the next step's already in flight on a thread."""

    def __init__(self, tokens: np.ndarray, plan: LoaderPlan, *, start_step: int = 0, rank: int = 0) -> None:
        self.plan, self.rank = plan, rank
        self.wait_seconds = 0.0
        """Time that training has waited for data, in seconds, since the start."""
        self._tokens = tokens
        self._step = start_step
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="loader")
        self._next: Future[list[Batch]] = self._pool.submit(self._load, start_step)

    def _load(self, step: int) -> list[Batch]:
        return [batch(self.plan, self._tokens, step, micro, self.rank) for micro in range(self.plan.micro_batches)]

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

    `max_batches` limits their number; None takes all, the last window padded with targets of -100.
    """

    def __init__(self, tokens: np.ndarray, *, seq_len: int, batch_size: int, max_batches: int | None) -> None:
        self.tokens, self.seq_len, self.batch_size = tokens, seq_len, batch_size
        self.n_windows = -(-(len(tokens) - 1) // seq_len)
        batches = -(-self.n_windows // batch_size)
        self.n_batches = batches if max_batches is None else min(batches, max_batches)

    def __iter__(self) -> Iterator[Batch]:
        for number in range(self.n_batches):
            first = number * self.batch_size
            rows = range(first, min(first + self.batch_size, self.n_windows))
            tokens = torch.zeros(len(rows), self.seq_len, dtype=torch.int64)
            targets = torch.full_like(tokens, IGNORED_TARGET)
            for row, window in enumerate(rows):
                start = window * self.seq_len
                piece = torch.from_numpy(np.asarray(self.tokens[start : start + self.seq_len + 1], dtype=np.int64))
                tokens[row, : len(piece) - 1], targets[row, : len(piece) - 1] = piece[:-1], piece[1:]
            yield Batch(tokens, targets)
