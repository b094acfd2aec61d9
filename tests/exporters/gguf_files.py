"""GGUF files of small models, and copies with something changed, for the tests of exporter and importer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from nanochat_exporters.config import GgufConfig
from nanochat_exporters.gguf.contents import Contents
from nanochat_exporters.gguf.exporter import GgufExporter
from nanochat_exporters.gguf.file_reader import GgufFile
from nanochat_exporters.gguf.file_writer import write_file
from nanochat_framework.contracts.exporter import ExportReport, ModelBundle

SMALL: dict[str, Any] = {
    "dim": 32,
    "n_layers": 1,
    "max_seq_len": 32,
    "attention": {"name": "gqa", "n_heads": 2, "n_kv_heads": 1, "head_dim": 16},
    "ffn": {"name": "swiglu", "hidden_dim": 64},
}
Change = Callable[[Contents], Contents]


def export(bundle: ModelBundle, path: Path, **options: Any) -> ExportReport:
    """Write with some options."""
    return GgufExporter(GgufConfig(**options)).export(bundle, path)


def types_in(path: Path) -> dict[str, str]:
    """Tensor name -> ggml type."""
    with GgufFile(path) as file:
        return {name: entry.type_name for name, entry in file.tensors.items()}


def rewrite(source: Path, target: Path, change: Change) -> Path:
    """A copy of a file with changed contents."""
    with GgufFile(source) as file:
        keys = {key: value for key, value in file.keys.items() if key != "general.architecture"}
        tensors = [file.read(name) for name in file.tensors]
        architecture = str(file.keys["general.architecture"])
    write_file(change(Contents(architecture, keys, tensors)), target)
    return target


def without_our_keys(contents: Contents) -> Contents:
    """As a foreign program would have written it."""
    return replace(contents, keys={k: v for k, v in contents.keys.items() if not k.startswith("nanochat.")})


def set_key(key: str, value: Any, *, foreign: bool = False) -> Change:
    """Change (or, with None, remove) a key."""

    def change(contents: Contents) -> Contents:
        contents = without_our_keys(contents) if foreign else contents
        keys = {k: v for k, v in contents.keys.items() if k != key}
        return replace(contents, keys=keys if value is None else {**keys, key: value})

    return change
