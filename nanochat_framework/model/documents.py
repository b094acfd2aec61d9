"""Documents that share the rows of a batch, in the forms that mixers need: marks, positions, a mask, lengths."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor


class Documents:
    """Which document each position belongs to. A mixer lets a position see its own document's earlier positions only.

    Each form is made when it is first asked for and then shared by all layers: `starts` for recurrences, which drop their
    state there; `positions` for what depends on places; `mask` for dense attention; `lengths` for work on
    one document at a time. A document never reaches over the end of a row.
    """

    def __init__(self, ids: Tensor) -> None:
        """`ids` (batch, seq) int64: numbers that do not decrease along a row, one a document; padding has its own."""
        self.ids = ids

    def to(self, device: torch.device) -> Documents:
        """The same on a device."""
        if self.ids.device == device:
            return self
        return Documents(self.ids.to(device, non_blocking=True))

    @cached_property
    def starts(self) -> Tensor:
        """(batch, seq) bool: True at the first position of each document, and of each row."""
        first = torch.ones_like(self.ids[:, :1], dtype=torch.bool)
        return torch.cat((first, self.ids[:, 1:] != self.ids[:, :-1]), dim=1)

    @cached_property
    def positions(self) -> Tensor:
        """(batch, seq) int64: places within the document, from 0."""
        places = torch.arange(self.ids.shape[1], device=self.ids.device).expand_as(self.ids)
        return places - torch.where(self.starts, places, 0).cummax(dim=1).values

    @cached_property
    def mask(self) -> Tensor:
        """(batch, 1, seq, seq) bool: `block_mask` of the ids."""
        return block_mask(self.ids)

    @cached_property
    def lengths(self) -> list[int]:
        """How many positions each document has, row after row; waits for the device that the ids are on."""
        firsts = self.starts.flatten().nonzero()[:, 0].tolist()
        return [end - first for first, end in zip(firsts, [*firsts[1:], self.ids.numel()], strict=True)]


def block_mask(ids: Tensor) -> Tensor:
    """(batch, 1, seq, seq) bool, True where a query (third axis) sees a key (last axis): block-diagonal and causal."""
    return (ids[:, :, None] == ids[:, None, :]).tril()[:, None]
