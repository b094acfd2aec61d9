"""Readings that arise inside the model (how far streams differ, how full experts are), handed to whoever is logging.

A module calls `record` in its forward pass. Outside `recording()` the call does nothing and works nothing out, so steps
that are not logged, evaluation and generation pay nothing. A reading is logged as `model/<name>`; where there is one for
each place it is named `<reading>.<place>` (`residual_rms.3`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

_readings: ContextVar[dict[str, list[Tensor]] | None] = ContextVar("model_readings", default=None)


@contextmanager
def recording() -> Iterator[dict[str, list[Tensor]]]:
    """Collect the readings of forward passes run inside: name -> scalars, one a pass."""
    readings: dict[str, list[Tensor]] = {}
    token = _readings.set(readings)
    try:
        yield readings
    finally:
        _readings.reset(token)


def record(name: str, reading: Callable[[], Tensor]) -> None:
    """Keep `reading()`, a scalar, under a name; it is called, without autograd, only while somebody records."""
    readings = _readings.get()
    if readings is not None:
        with torch.no_grad():
            readings.setdefault(name, []).append(reading().float())
