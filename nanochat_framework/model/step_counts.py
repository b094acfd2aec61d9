"""Counts of what a step's tokens did inside the model (how many chose each expert), for parts that are moved by them.

A module calls `add_counts` in its forward pass; outside `counting()` the call does nothing, so inference, evaluation and
layers that are computed again in the backward pass add nothing. After each update the trainer sums the counts over all
micro-batches and processes and hands every part its own, so what a part does depends on the batch alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor


class MovedByCounts(ABC):
    """A module with parameters that no gradient moves and no optimizer has (role `roles.EXPERT_BIAS`)."""

    @abstractmethod
    def move(self, counts: Tensor) -> None:
        """Move them once. `counts`: float64, what the module gave to `add_counts`, summed over the step."""


StepCounts = dict[MovedByCounts, Tensor]
_counts: ContextVar[StepCounts | None] = ContextVar("step_counts", default=None)


@contextmanager
def counting(counts: StepCounts | None = None) -> Iterator[StepCounts]:
    """Add the counts of forward passes run inside to `counts`; None: to new ones."""
    counts = {} if counts is None else counts
    token = _counts.set(counts)
    try:
        yield counts
    finally:
        _counts.reset(token)


def add_counts(part: MovedByCounts, counts: Tensor) -> None:
    """Count (n,) whole numbers for a part."""
    collected = _counts.get()
    if collected is not None:
        with torch.no_grad():
            collected[part] = collected[part] + counts if part in collected else counts
