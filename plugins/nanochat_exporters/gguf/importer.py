"""The GGUF importer: files of our exporter with their exact configuration, and files of others that the decoder can be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nanochat_exporters.config import GgufImporterConfig
from nanochat_exporters.gguf import dialect
from nanochat_exporters.gguf.architectures import NAMES, best_fit, named
from nanochat_exporters.gguf.blocks import BLOCK_TYPES
from nanochat_exporters.gguf.chat_template import CHATML_TEMPLATE
from nanochat_exporters.gguf.contents import CannotCarry
from nanochat_exporters.gguf.file_reader import GgufFile, as_float32
from nanochat_exporters.gguf.foreign import model_table
from nanochat_exporters.gguf.placement import Placement, scatter
from nanochat_exporters.gguf.provenance import Rebuilt, rebuild, with_exact_values
from nanochat_exporters.gguf.stock import placements
from nanochat_exporters.gguf.storage import regroup, restore_quantized
from nanochat_exporters.gguf.vocabulary import read_vocabulary, why_left_out
from nanochat_framework.contracts.exporter import Importer, ModelBundle
from nanochat_framework.errors import UsageError
from nanochat_framework.inference.tables import select_model
from nanochat_framework.model.description import ModelDescription
from nanochat_framework.model.quantized import QuantizedWeight
from nanochat_framework.plugins.registry import Registry


class GgufImporter(Importer):
    """Reads files of stock architectures and `nanochat` files."""

    def load(self, path: Path, registry: Registry) -> ModelBundle:
        """Read a file. Raises UsageError, with the path and the reason, for one that is damaged or of another kind."""
        with GgufFile(path) as file:
            rebuilt = _configuration(file, registry)
            description: ModelDescription = rebuilt.model.config.describe()
            places = _placements(file, description, rebuilt.foreign)
            _expect_no_others(file, places)
            tensors = {name: one for place in places for name, one in _read(file, place, rebuilt).items()}
            metadata = {
                "name": file.keys.get("general.name") or path.stem,
                "architecture": file.keys["general.architecture"],
                **{
                    fact: file.keys[f"nanochat.{fact}"]
                    for fact in ("step", "tokens")
                    if f"nanochat.{fact}" in file.keys
                },
                **({"license": file.keys["general.license"]} if "general.license" in file.keys else {}),
            }
            template = file.keys.get("tokenizer.chat_template")
            if isinstance(template, str) and template != CHATML_TEMPLATE:
                metadata["chat_template"] = template
            tokenizer = read_vocabulary(file.keys, str(path))
            if tokenizer is None and file.keys.get("tokenizer.ggml.model", "none") != "none":
                metadata["without_tokenizer"] = why_left_out(file.keys)
        return ModelBundle(rebuilt.model, rebuilt.quantizers, description, tensors, tokenizer, metadata)


def _configuration(file: GgufFile, registry: Registry) -> Rebuilt:
    """What the file says it is made of, or what its architecture keys amount to."""
    architecture = file.keys.get("general.architecture")
    known = (*NAMES, dialect.ARCHITECTURE)
    if architecture not in known:
        raise UsageError(f"{file.path}: architecture {architecture!r}; {', '.join(known)} can be read")
    rebuilt = rebuild(file.keys, str(file.path), registry)
    if rebuilt is not None:
        return rebuilt
    if architecture == dialect.ARCHITECTURE:
        raise UsageError(f"{file.path}: the key nanochat.format_version is missing; the file is damaged")
    return Rebuilt(select_model(model_table(file), str(file.path), registry), (), {}, foreign=True)


def _placements(file: GgufFile, description: ModelDescription, foreign: bool) -> list[Placement]:
    architecture = file.keys["general.architecture"]
    if architecture == dialect.ARCHITECTURE:
        known = all(part.tensors is not None for part in description.opaque())
        tensors = description.tensors() if known else file.tensors.values()
        return dialect.placements((tensor.name, tensor.shape) for tensor in tensors)
    try:
        return placements(named(architecture, best_fit(description).experts), description)
    except CannotCarry as reason:
        if foreign:
            raise UsageError(f"{file.path}: {reason}; its keys do not describe a {architecture} model") from None
        raise UsageError(
            f"{file.path}: its nanochat.model is no {architecture} model ({reason}); the file is damaged"
        ) from None


def _expect_no_others(file: GgufFile, places: list[Placement]) -> None:
    known = {place.file_name for place in places}
    odd = next((name for name in file.tensors if name not in known), None)
    if odd is not None:
        raise UsageError(f"{file.path}: the model it describes has no place for its tensor {odd}")


def _read(file: GgufFile, place: Placement, rebuilt: Rebuilt) -> dict[str, Tensor | QuantizedWeight]:
    """The model's tensors that stand at a place, by name."""
    stored, where = file.read(place.file_name), f"{file.path}: {place.file_name}"
    if stored.shape != place.shape:
        raise UsageError(f"{where} is {stored.shape}, the model it describes has {place.shape}")
    if not place.parts:
        if not np.all(as_float32(stored) == 1):
            raise UsageError(f"{where} scales a norm, and the model it describes has no such gain")
        return {}
    sizes = rebuilt.group_sizes
    if stored.type_name in BLOCK_TYPES and (rebuilt.foreign or all(name in sizes for name in place.names)):
        parts = scatter(place, restore_quantized(stored))
        return {
            name: regroup(where, part, sizes[name]) if isinstance(part, QuantizedWeight) and name in sizes else part
            for name, part in parts.items()
        }
    values = torch.from_numpy(as_float32(stored)).reshape(place.shape)
    parts = scatter(place, values)
    return with_exact_values(place, parts, values, file.keys, where) if place.function else parts


def build_gguf_importer(config: GgufImporterConfig) -> GgufImporter:
    """Factory of `gguf`."""
    return GgufImporter()
