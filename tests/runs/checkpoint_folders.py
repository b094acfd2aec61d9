"""Checkpoints of two small files, and what is done to them, for the tests of the store."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from nanochat_framework.runs.checkpoint_store import CheckpointStore, step_name


def writer(content: bytes = b"weights", meta: dict[str, object] | None = None) -> Callable[[Path], None]:
    """Writes a checkpoint of two files, one of them in a folder of its own."""

    def write(folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(content)
        (folder / "shards").mkdir()
        (folder / "shards" / "0.bin").write_bytes(content[::-1])
        if meta is not None:
            (folder / "meta.json").write_text(json.dumps(meta))

    return write


def fill(store: CheckpointStore, *steps: int) -> None:
    for step in steps:
        store.write(step_name(step), writer(f"step {step}".encode()))


def names(store: CheckpointStore) -> list[str]:
    return sorted(os.listdir(store.root))


def corrupt(folder: Path) -> None:
    """Change a byte, and no size."""
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)
