"""Decoding state of one layer, for attention and recurrences alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor


class SequenceState(ABC):
    """What a layer remembers of the sequences it has seen, one a row.

    `length` is in positions. Where rows differ, as they do after `join`, it is that of the longest, and `padding`
    (batch,) int64 says how much shorter each row is; None: all are equally long.

    Attention can forget its newest positions (`rewind`); a recurrence cannot, so prefix reuse and speculative decoding
    take a `snapshot` first and `restore` it. `append` is the mixer's own affair: it knows what it stores.
    """

    length: int = 0
    padding: Tensor | None = None
    can_rewind: bool = False

    @abstractmethod
    def append(self, *tensors: Tensor) -> Any:
        """Take in what the mixer computed for new positions and return what it needs for them."""

    @abstractmethod
    def snapshot(self) -> Any:
        """A value that `restore` brings this state back to, however far it has moved on."""

    @abstractmethod
    def restore(self, snapshot: Any) -> None:
        """Go back to a snapshot of this state (or of a state it was forked from)."""

    @abstractmethod
    def fork(self) -> Self:
        """An independent copy."""

    @abstractmethod
    def select(self, rows: Sequence[int]) -> Self:
        """An independent state of some of the rows, in the order given; a row may be given more than once."""

    @classmethod
    @abstractmethod
    def join(cls, states: Sequence[Self]) -> Self:
        """An independent state of all the rows of several states of one layer, each of which has seen something."""

    def rewind(self, length: int) -> None:
        """Forget all positions from `length` on. Raises RuntimeError where `can_rewind` is False."""
        raise RuntimeError(f"{type(self).__name__} cannot rewind; restore a snapshot")

    def row_lengths(self, batch_size: int) -> list[int]:
        """Positions that each row has seen."""
        return [self.length] * batch_size if self.padding is None else (self.length - self.padding).tolist()

    def _set_row_lengths(self, lengths: Sequence[int], device: torch.device) -> None:
        self.length = max(lengths, default=0)
        shorter = [self.length - length for length in lengths]
        self.padding = torch.tensor(shorter, device=device) if any(shorter) else None


class KeyValueState(SequenceState):
    """Keys and values of all positions seen: (batch, n_kv_heads, length, head_dim), in buffers that grow by doubling.

    Rows end at the same place: a shorter one begins `padding` places later, and what stands before is zeros that
    no query may see.
    """

    can_rewind = True

    def __init__(self, batch_size: int, n_kv_heads: int, head_dim: int, max_seq_len: int) -> None:
        self._shape = (batch_size, n_kv_heads, head_dim)
        self._max_seq_len = max_seq_len
        self._keys: Tensor | None = None
        self._values: Tensor | None = None

    def append(self, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        """Take new keys and values (batch, n_kv_heads, new, head_dim); return those of all positions."""
        keys, values = (tensor.detach() for tensor in tensors)
        end = self.length + keys.shape[2]
        buffer_keys, buffer_values = self._reserve(end, keys)
        buffer_keys[:, :, self.length : end] = keys
        buffer_values[:, :, self.length : end] = values
        self.length = end
        return buffer_keys[:, :, :end], buffer_values[:, :, :end]

    def _reserve(self, length: int, like: Tensor) -> tuple[Tensor, Tensor]:
        if self._keys is None or self._values is None or self._keys.shape[2] < length:
            batch, heads, head_dim = self._shape
            room = max(length, min(self._max_seq_len, 2 * length), 64)
            keys = like.new_empty(batch, heads, room, head_dim)
            values = torch.empty_like(keys)
            if self._keys is not None and self._values is not None:
                keys[:, :, : self.length] = self._keys[:, :, : self.length]
                values[:, :, : self.length] = self._values[:, :, : self.length]
            self._keys, self._values = keys, values
        return self._keys, self._values

    def snapshot(self) -> int:
        """The length: positions are never overwritten before a rewind, so it is all that is needed."""
        return self.length

    def restore(self, snapshot: Any) -> None:
        """Forget what came after the snapshot."""
        self.rewind(int(snapshot))

    def rewind(self, length: int) -> None:
        """Forget all positions from `length` on. Raises ValueError if there are not as many."""
        if not 0 <= length <= self.length:
            raise ValueError(f"cannot rewind a state of {self.length} positions to {length}")
        self.length = length

    def fork(self) -> KeyValueState:
        """A copy with buffers of its own."""
        batch, heads, head_dim = self._shape
        copy = KeyValueState(batch, heads, head_dim, self._max_seq_len)
        copy.length, copy.padding = self.length, self.padding
        if self._keys is not None and self._values is not None:
            copy._keys, copy._values = self._keys.clone(), self._values.clone()
        return copy

    def select(self, rows: Sequence[int]) -> KeyValueState:
        """Those rows, in buffers as long as the longest of them needs."""
        return self._gather([(self, row) for row in rows])

    @classmethod
    def join(cls, states: Sequence[KeyValueState]) -> KeyValueState:
        """All rows, in buffers as long as the longest of them needs."""
        return states[0]._gather([(state, row) for state in states for row in range(state._shape[0])])

    def _gather(self, rows: Sequence[tuple[KeyValueState, int]]) -> KeyValueState:
        _, heads, head_dim = self._shape
        joined = KeyValueState(len(rows), heads, head_dim, self._max_seq_len)
        lengths = {id(state): state.row_lengths(state._shape[0]) for state, _ in rows}
        assert self._keys is not None
        joined._set_row_lengths([lengths[id(state)][row] for state, row in rows], self._keys.device)
        end, room = joined.length, max(min(self._max_seq_len, 2 * joined.length), 64)
        keys = self._keys.new_zeros(len(rows), heads, room, head_dim)
        values = torch.zeros_like(keys)
        for place, (state, row) in enumerate(rows):
            assert state._keys is not None and state._values is not None
            count = lengths[id(state)][row]
            seen = slice(state.length - count, state.length)
            keys[place, :, end - count : end] = state._keys[row, :, seen]
            values[place, :, end - count : end] = state._values[row, :, seen]
        joined._keys, joined._values = keys, values
        return joined


class RecurrentState(SequenceState):
    """A fixed set of tensors (batch, ...) that each step replaces; a stranger's recurrent mixer can use it as it is."""

    def __init__(self) -> None:
        self.tensors: tuple[Tensor, ...] = ()

    def append(self, *tensors: Tensor) -> None:
        """Replace the state; the mixer adds to `length` itself through `advance`."""
        self.tensors = tuple(tensor.detach() for tensor in tensors)

    def advance(self, positions: int) -> None:
        """Count positions taken in."""
        self.length += positions

    def snapshot(self) -> tuple[int, tuple[Tensor, ...]]:
        """Copies of the tensors and the length."""
        return self.length, tuple(tensor.clone() for tensor in self.tensors)

    def restore(self, snapshot: Any) -> None:
        """Take the copies back; the snapshot may be restored again."""
        self.length, tensors = snapshot
        self.tensors = tuple(tensor.clone() for tensor in tensors)

    def fork(self) -> RecurrentState:
        """A copy with tensors of its own."""
        copy = RecurrentState()
        copy.restore(self.snapshot())
        copy.padding = self.padding
        return copy

    def select(self, rows: Sequence[int]) -> RecurrentState:
        """Copies of those rows."""
        chosen = RecurrentState()
        chosen.tensors = tuple(tensor[list(rows)] for tensor in self.tensors)
        lengths = self.row_lengths(self.tensors[0].shape[0])
        chosen._set_row_lengths([lengths[row] for row in rows], self.tensors[0].device)
        return chosen

    @classmethod
    def join(cls, states: Sequence[RecurrentState]) -> RecurrentState:
        """Copies of all rows."""
        joined = RecurrentState()
        joined.tensors = tuple(torch.cat(parts) for parts in zip(*(state.tensors for state in states), strict=True))
        lengths = [length for state in states for length in state.row_lengths(state.tensors[0].shape[0])]
        joined._set_row_lengths(lengths, joined.tensors[0].device)
        return joined


def new_positions(start: int, count: int, device: torch.device) -> Tensor:
    """(count,) int64: start, start + 1, ..."""
    return torch.arange(start, start + count, device=device)


def positions_after(states: Sequence[SequenceState] | None, count: int, device: torch.device) -> Tensor:
    """Positions of `count` tokens that continue what the states have seen; None: from 0.

    (count,) int64, or (batch, count) where the rows' lengths differ.
    """
    positions = new_positions(states[0].length if states else 0, count, device)
    padding = states[0].padding if states else None
    return positions if padding is None else positions - padding[:, None]
