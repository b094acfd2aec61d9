"""Losses that arise inside the trunk (a router's load balance), handed to whoever is training.

A module calls `add_auxiliary_loss` in its forward pass; outside `collecting()` the call does nothing, so inference and
evaluation pay nothing. These losses are averaged over micro-batches: a batch-wide router loss is the documented
exception to "n micro-batches equal one batch".
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from torch import Tensor

_collector: ContextVar[dict[str, list[tuple[float, Tensor]]] | None] = ContextVar("auxiliary_losses", default=None)


@contextmanager
def collecting() -> Iterator[dict[str, list[tuple[float, Tensor]]]]:
    """Collect the losses of forward passes run inside: name -> [(weight, scalar loss), ...]."""
    losses: dict[str, list[tuple[float, Tensor]]] = {}
    token = _collector.set(losses)
    try:
        yield losses
    finally:
        _collector.reset(token)


def add_auxiliary_loss(name: str, weight: float, loss: Tensor) -> None:
    """Add `weight · loss` (a float32 scalar) to the training loss; the unweighted mean is logged as `train/<name>`."""
    losses = _collector.get()
    if losses is not None:
        losses.setdefault(name, []).append((weight, loss))
