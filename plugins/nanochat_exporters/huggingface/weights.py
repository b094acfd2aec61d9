"""Tensors of a folder: one safetensors file, or shards with an index. Nothing is ever unpickled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from math import prod
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from nanochat_exporters.gguf.placement import Placement
from nanochat_exporters.huggingface.config_json import read_json
from nanochat_framework.errors import UsageError
from nanochat_framework.runs.atomic import write_atomic

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
_READABLE = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


class WeightReader:
    """The safetensors files of a folder, opened; use it in a `with` block. Raises UsageError for what is not there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stack = ExitStack()
        self._file_of: dict[str, Path] = {}
        self._open: dict[Path, Any] = {}

    def __enter__(self) -> WeightReader:
        try:
            if (self.folder / INDEX).is_file():
                self._file_of = _index(self.folder)
            elif (self.folder / SINGLE).is_file():
                self._file_of = dict.fromkeys(self._file(self.folder / SINGLE).keys(), self.folder / SINGLE)
            else:
                raise UsageError(_without_weights(self.folder))
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def names(self) -> set[str]:
        """Names of all tensors."""
        return set(self._file_of)

    def read(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """A tensor in float32. Raises UsageError if it is missing, of another shape, or of a type that is no float."""
        path = self._file_of.get(name)
        if path is None:
            raise UsageError(f"{self.folder}: has no tensor {name}, which its config.json asks for")
        try:
            tensor: Tensor = self._file(path).get_tensor(name)
        except SafetensorError as error:
            raise UsageError(f"{path}: {name} cannot be read ({error})") from None
        if tuple(tensor.shape) != shape:
            raise UsageError(f"{path}: {name} is {tuple(tensor.shape)}, its config.json says {shape}")
        if tensor.dtype not in _READABLE:
            raise UsageError(f"{path}: {name} is stored as {tensor.dtype}, which is no plain float")
        return tensor.to(torch.float32)

    def _file(self, path: Path) -> Any:
        if path not in self._open:
            try:
                self._open[path] = self._stack.enter_context(safe_open(path, framework="pt"))
            except (OSError, SafetensorError) as error:
                raise UsageError(f"{path}: cannot be read ({error})") from None
        return self._open[path]


def _index(folder: Path) -> dict[str, Path]:
    """Name -> shard. Shards lie beside the index: a name that leads elsewhere is refused."""
    weight_map = read_json(folder / INDEX).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(file, str) for file in weight_map.values()):
        raise UsageError(f"{folder / INDEX}: has no weight_map of names to files")
    for file in weight_map.values():
        if Path(file).name != file or not (folder / file).is_file():
            raise UsageError(f"{folder / INDEX}: names {file!r}, which is not a file beside it")
    return {name: folder / file for name, file in weight_map.items()}


def _without_weights(folder: Path) -> str:
    pickled = sorted(entry.name for entry in folder.iterdir() if entry.suffix in (".bin", ".pt", ".pth", ".ckpt"))
    if pickled:
        return (
            f"{folder}: its weights are pickled ({pickled[0]}), and reading a pickle can run code; save them with "
            f"model.save_pretrained(DIR, safe_serialization=True) first"
        )
    return f"{folder}: has neither {SINGLE} nor {INDEX}"


def write_weights(
    folder: Path,
    places: Sequence[Placement],
    value_of: Callable[[Placement], Tensor],
    dtype: torch.dtype,
    shard_bytes: int,
) -> None:
    """Write tensors as `dtype`, in one file or in shards of at most shard_bytes each (a larger tensor has its own).

    One shard is in memory at a time.
    """
    shards = list(_shards(places, dtype, shard_bytes))
    files = (
        [SINGLE]
        if len(shards) == 1
        else [f"model-{n + 1:05d}-of-{len(shards):05d}.safetensors" for n in range(len(shards))]
    )
    for file, shard in zip(files, shards, strict=True):
        tensors = {place.file_name: value_of(place).to(dtype).contiguous() for place in shard}
        save_file(tensors, folder / file, metadata={"format": "pt"})
    if len(shards) > 1:
        weight_map = {place.file_name: file for file, shard in zip(files, shards, strict=True) for place in shard}
        total = sum(prod(place.shape) for place in places) * dtype.itemsize
        write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": weight_map})


def _shards(places: Sequence[Placement], dtype: torch.dtype, shard_bytes: int) -> Iterator[list[Placement]]:
    shard: list[Placement] = []
    size = 0
    for place in places:
        n_bytes = prod(place.shape) * dtype.itemsize
        if shard and size + n_bytes > shard_bytes:
            yield shard
            shard, size = [], 0
        shard.append(place)
        size += n_bytes
    yield shard


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write a JSON object as transformers lays it out."""
    import json

    write_atomic(path, (json.dumps(data, indent=2, ensure_ascii=False) + "\n").encode())
