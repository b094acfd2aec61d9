"""What goes into a GGUF file, before it is bytes: typed keys and stored tensors."""

from __future__ import annotations

from dataclasses import dataclass

from nanochat_exporters.gguf.storage import StoredTensor
from nanochat_framework.errors import UsageError

Value = str | bool | int | float | list[str] | list[bool] | list[int] | list[float]
"""A key's value. Integers are written as uint32 (uint64 where they are too large), floats as float32."""


@dataclass(frozen=True)
class Contents:
    """A file: `general.architecture`, further keys in order, tensors in order."""

    architecture: str
    keys: dict[str, Value]
    tensors: list[StoredTensor]


class CannotCarry(UsageError):
    """An architecture has no place for a part of the model; `str()` names the part."""
