"""Writes a GGUF file (version 3, little-endian) under a temporary name, then renames it."""

from __future__ import annotations

from pathlib import Path

import gguf

from nanochat_exporters.gguf.contents import Contents, Value
from nanochat_framework.runs.atomic import new_file

_UINT32_LIMIT = 2**32


def write_file(contents: Contents, path: Path) -> int:
    """Write the file and return its size in bytes. Raises UsageError where the path cannot be written to, DiskFull."""
    with new_file(path) as temporary:
        _write(contents, temporary)
        return temporary.stat().st_size


def _write(contents: Contents, path: Path) -> None:
    writer = gguf.GGUFWriter(path, contents.architecture)
    for key, value in contents.keys.items():
        _add_key(writer, key, value)
    for tensor in contents.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=gguf.GGMLQuantizationType[tensor.type_name])
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


def _add_key(writer: gguf.GGUFWriter, key: str, value: Value) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    elif isinstance(value, int):
        (writer.add_uint32 if value < _UINT32_LIMIT else writer.add_uint64)(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    else:
        writer.add_array(key, value)
