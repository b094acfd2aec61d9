"""Writes a model that came from a file as a checkpoint, so that every command takes it as one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from torch import Tensor

from nanochat_framework.config.toml_text import toml_table
from nanochat_framework.contracts.exporter import ModelBundle
from nanochat_framework.errors import UsageError
from nanochat_framework.runs.atomic import new_folder
from nanochat_framework.runs.checkpoint_manifest import seal
from nanochat_framework.training.checkpoint import META, MODEL, SCHEMA_VERSION, origin_of, save_tensors

STARTER = "model.toml"
"""The `[model]` table and `train.init_from`, for a configuration to extend."""


def write_imported(bundle: ModelBundle, folder: Path) -> list[str]:
    """Write `model.safetensors`, `meta.json`, `tokenizer.json`, `model.toml` and a manifest; returns the names written.

    The folder is a checkpoint by itself, of no store: it may have any name, and nothing appears beside it.

    Weights are float32; codes become the numbers they stand for, and no quantizer is kept: quantising those numbers
    anew would find other scales. Raises UsageError if the folder exists or cannot be made, DiskFull.
    """
    if os.path.lexists(folder):
        raise UsageError(f"--output {folder}: exists already; name a folder that does not")
    if not os.path.isdir(folder.parent):
        raise UsageError(f"--output {folder}: the folder {folder.parent} does not exist")
    starter = _starter(bundle.model.to_dict(), folder)
    tensors = {name: t if isinstance(t, Tensor) else t.dequantize() for name, t in bundle.tensors.items()}
    meta = {
        "schema_version": SCHEMA_VERSION,
        "step": bundle.metadata.get("step", 0),
        "tokens": bundle.metadata.get("tokens", 0),
        "config": {"model": bundle.model.to_dict()},
        "imported": origin_of(bundle),
    }

    try:
        with new_folder(folder) as target:
            save_tensors(tensors, target / MODEL)
            (target / META).write_text(json.dumps(meta, indent=1, sort_keys=True) + "\n")
            (target / STARTER).write_bytes(starter)
            if bundle.tokenizer is not None:
                (target / "tokenizer.json").write_text(bundle.tokenizer.to_json(), encoding="utf-8")
            seal(target, int(meta["step"]))
            names = sorted(entry.name for entry in target.iterdir())
    except UsageError as error:
        raise UsageError(f"--output {error}") from None
    return names


def _starter(model: dict[str, Any], folder: Path) -> bytes:
    """The text of `model.toml`. Raises UsageError for a folder that it cannot name: TOML is UTF-8."""
    train = toml_table("[train]", {"init_from": str(folder.absolute())})
    try:
        return "\n".join([toml_table("[model]", model), train]).encode()
    except UnicodeEncodeError:
        raise UsageError(f"--output {str(folder)!a}: {STARTER} cannot name it; use a name in UTF-8") from None
