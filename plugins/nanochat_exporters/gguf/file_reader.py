"""Reads the structure of a GGUF file (versions 2 and 3, little-endian) and trusts no length in it.

The gguf package's own reader believes every count: one flipped bit in an array's length makes it loop until memory is
gone (docs/decisions/0013). Here each length is held against what is left of the file before anything is made of it.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize

from nanochat_exporters.gguf.storage import StoredTensor
from nanochat_framework.errors import UsageError

_MAGIC = b"GGUF"
_STRING, _ARRAY = 8, 9
_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_MAX_DIMENSIONS = 4
_MAX_NESTING = 4


class Malformed(ValueError):
    """The bytes are not what GGUF says they should be."""


@dataclass(frozen=True)
class TensorEntry:
    """Where a tensor's bytes are: logical shape with the fastest dimension last, offset from the file's start."""

    name: str
    type_name: str
    shape: tuple[int, ...]
    offset: int
    n_bytes: int


class _Cursor:
    """A position in the bytes; every step is checked against the end."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data, self.at = data, 0

    def take(self, n_bytes: int) -> bytes:
        end = self.at + n_bytes
        if end > len(self.data):
            raise Malformed(f"it ends at byte {len(self.data)}, inside its header")
        piece = self.data[self.at : end]
        self.at = end
        return piece

    def number(self, code: str) -> Any:
        return struct.unpack(code, self.take(struct.calcsize(code)))[0]

    def count(self, least_bytes: int) -> int:
        """A count of things that take at least so many bytes each; they must fit in what is left."""
        count = int(self.number("<Q"))
        if count * least_bytes > len(self.data) - self.at:
            raise Malformed(f"a count of {count} at byte {self.at - 8} is larger than the file")
        return count

    def string(self) -> str:
        return str(self.take(self.count(1)), "utf-8")

    def value(self, kind: int, depth: int = 0) -> Any:
        if kind == _STRING:
            return self.string()
        if kind == _ARRAY:
            return self._array(depth)
        if kind not in _SCALARS:
            raise Malformed(f"value type {kind} at byte {self.at} does not exist")
        return self.number(_SCALARS[kind])

    def _array(self, depth: int) -> list[Any]:
        kind = int(self.number("<I"))
        if kind in _SCALARS:
            code = _SCALARS[kind]
            count = self.count(struct.calcsize(code))
            return [item for (item,) in struct.iter_unpack(code, self.take(count * struct.calcsize(code)))]
        if depth == _MAX_NESTING:
            raise Malformed("arrays are nested too deeply")
        return [self.value(kind, depth + 1) for _ in range(self.count(8))]


class GgufFile:
    """An open GGUF file: `keys` by name, `tensors` by name; use it as a context manager.

    Raises UsageError, with the path and the reason, for anything that is not a whole GGUF file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.keys: dict[str, Any] = {}
        self.tensors: dict[str, TensorEntry] = {}
        try:
            with path.open("rb") as handle:
                self._map = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise UsageError(f"{path}: cannot be read ({error.strerror or error})") from None
        except ValueError:
            raise UsageError(f"{path}: is empty, not a GGUF file") from None
        try:
            self._parse(_Cursor(self._map))
        except (Malformed, struct.error, UnicodeDecodeError) as error:
            self._map.close()
            raise UsageError(f"{path}: not a usable GGUF file: {error}") from None

    def __enter__(self) -> GgufFile:
        return self

    def __exit__(self, *error: object) -> None:
        self._map.close()

    def read(self, name: str) -> StoredTensor:
        """A copy of a tensor as it is stored. Raises UsageError if there is none of that name."""
        entry = self.tensors.get(name)
        if entry is None:
            raise UsageError(f"{self.path}: has no tensor {name}")
        raw = np.frombuffer(self._map[entry.offset : entry.offset + entry.n_bytes], dtype=np.uint8)
        data: npt.NDArray[Any]
        if entry.type_name in ("F32", "F16"):
            data = raw.view("<f4" if entry.type_name == "F32" else "<f2").reshape(entry.shape)
        else:
            data = raw.reshape(*entry.shape[:-1], -1)
        return StoredTensor(name, entry.type_name, entry.shape, data)

    def _parse(self, cursor: _Cursor) -> None:
        if cursor.take(4) != _MAGIC:
            raise Malformed("it does not begin with GGUF")
        version = cursor.number("<I")
        if version not in (2, 3):
            raise Malformed(f"version {version} (2 and 3 can be read)")
        n_tensors, n_keys = cursor.count(24), cursor.count(12)
        for _ in range(n_keys):
            name = cursor.string()
            if name in self.keys:
                raise Malformed(f"key {name!r} appears twice")
            self.keys[name] = cursor.value(int(cursor.number("<I")))
        entries = [self._tensor_info(cursor) for _ in range(n_tensors)]
        alignment = self.keys.get("general.alignment", 32)
        if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
            raise Malformed(f"alignment {alignment!r} is not a power of two")
        start = -(-cursor.at // alignment) * alignment
        for entry in entries:
            if entry.name in self.tensors:
                raise Malformed(f"tensor {entry.name!r} appears twice")
            if entry.offset % alignment or start + entry.offset + entry.n_bytes > len(cursor.data):
                raise Malformed(f"tensor {entry.name!r} reaches beyond the end; the file is cut short or damaged")
            placed = TensorEntry(entry.name, entry.type_name, entry.shape, start + entry.offset, entry.n_bytes)
            self.tensors[entry.name] = placed

    @staticmethod
    def _tensor_info(cursor: _Cursor) -> TensorEntry:
        name = cursor.string()
        n_dimensions = int(cursor.number("<I"))
        if not 1 <= n_dimensions <= _MAX_DIMENSIONS:
            raise Malformed(f"tensor {name!r} has {n_dimensions} dimensions")
        shape = tuple(int(cursor.number("<Q")) for _ in range(n_dimensions))[::-1]
        type_id = int(cursor.number("<I"))
        offset = int(cursor.number("<Q"))
        try:
            kind = GGMLQuantizationType(type_id)
        except ValueError:
            raise Malformed(f"tensor {name!r} has type {type_id}, which is unknown here") from None
        block, block_bytes = GGML_QUANT_SIZES[kind]
        if 0 in shape or shape[-1] % block:
            raise Malformed(f"tensor {name!r} of shape {shape} does not consist of whole {kind.name} blocks")
        return TensorEntry(name, kind.name, shape, offset, prod(shape) // block * block_bytes)


def as_float32(stored: StoredTensor) -> npt.NDArray[np.float32]:
    """The values of a tensor of any ggml type that the gguf package can decode. Raises UsageError for the others."""
    if stored.type_name in ("F32", "F16"):
        return stored.data.astype(np.float32)
    try:
        values = dequantize(stored.data, GGMLQuantizationType[stored.type_name])
    except NotImplementedError:
        raise UsageError(f"{stored.name!r}: type {stored.type_name} cannot be read") from None
    return np.ascontiguousarray(values, dtype=np.float32)
