"""Products whose backward pass works on some rows only: those of the tokens that a token filter kept.

In the forward pass nothing changes. In the backward pass a product (`model.weight`) made inside `keeping` gathers the
kept rows of its input and of its result's gradient, multiplies those, and leaves zeros in the other rows of its input's
gradient. Which rows are kept may be decided as late as that: after the loss of each token is known.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


class KeptRows:
    """Which places of a tensor of tokens are kept; to be told by `keep` before the backward pass reaches a product."""

    def __init__(self, shape: torch.Size) -> None:
        """`shape`: leading dimensions of the activations that are meant, (batch, seq) or (rows,).

        A product whose input has others (tokens sorted by expert) does not know the places and works on all its rows.
        """
        self.shape = shape
        self.rows: Tensor | None = None

    def keep(self, kept: Tensor) -> None:
        """`kept`: bool of `shape`. Waits for the device, because what follows has as many rows as there are."""
        assert kept.shape == self.shape, (kept.shape, self.shape)
        self.rows = kept.flatten().nonzero()[:, 0]

    def of(self, x: Tensor) -> Tensor:
        """The kept rows of (*shape, channels): (n_kept, channels)."""
        assert self.rows is not None, "nobody said which rows are kept"
        return x.flatten(0, -2).index_select(0, self.rows)

    def spread(self, rows: Tensor) -> Tensor:
        """The reverse of `of`, zeros elsewhere: (n_kept, channels) -> (*shape, channels)."""
        assert self.rows is not None, "nobody said which rows are kept"
        whole = rows.new_zeros(self.shape.numel(), rows.shape[-1])
        return whole.index_copy_(0, self.rows, rows).view(*self.shape, rows.shape[-1])


_current: KeptRows | None = None
"""Not a context variable: layers that are computed again run in the thread of the backward pass, and compiled code
reads this."""


@contextmanager
def keeping(kept: KeptRows | None) -> Iterator[None]:
    """Products of inputs of the shape of `kept` that are made inside work on its rows in their backward pass."""
    global _current
    before, _current = _current, kept
    try:
        yield
    finally:
        _current = before


def kept_rows_of(x: Tensor) -> KeptRows | None:
    """What a product of (..., channels) made now is to keep; None: all its rows."""
    return _current if _current is not None and _current.shape == x.shape[:-1] else None
