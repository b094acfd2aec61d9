"""One safetensors file that is a whole model: tensors under our names, everything else in its metadata.

A tensor that training quantised is two: `NAME.codes` (int8, or floats of 8 bits) and `NAME.scales` (float32, as
`QuantizedWeight` has them); all others are float32 under their own names. Metadata (strings, as safetensors has them):

| key | value |
|---|---|
| `nanochat` | JSON: `format_version` 1, the `model` table, the `quantizers` tables, `group_sizes` by name, `facts` |
| `tokenizer.json` | the tokenizer's file, if the model has one |
| `tokenizer_sha256` | its fingerprint, that of `data.json` |
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from nanochat_exporters.config import SafetensorsConfig
from nanochat_framework import __version__
from nanochat_framework.contracts.exporter import Exporter, ExportReport, Importer, ModelBundle
from nanochat_framework.data.tokenizer import Tokenizer
from nanochat_framework.errors import UsageError
from nanochat_framework.inference.tables import select_model, select_quantizers
from nanochat_framework.model.description import ModelDescription
from nanochat_framework.model.quantized import QuantizedWeight
from nanochat_framework.plugins.registry import Registry
from nanochat_framework.runs.atomic import new_file

FORMAT_VERSION = 1
_FACTS = ("name", "step", "tokens", "data", "held_out", "license", "chat_template")
_ABOUT, _TOKENIZER, _FINGERPRINT = "nanochat", "tokenizer.json", "tokenizer_sha256"


class SafetensorsExporter(Exporter):
    """Writes any model, bit for bit."""

    def export(self, bundle: ModelBundle, path: Path) -> ExportReport:
        """Write the file. Raises UsageError where the path cannot be written to, DiskFull where there is no room."""
        with new_file(path) as temporary:
            save_file(dict(_stored(bundle.tensors)), temporary, metadata=_metadata(bundle))
        return ExportReport(path, path.stat().st_size, _lines(bundle))


def _stored(tensors: Mapping[str, Tensor | QuantizedWeight]) -> list[tuple[str, Tensor]]:
    found = []
    for name, tensor in tensors.items():
        if isinstance(tensor, QuantizedWeight):
            found += [(f"{name}.codes", tensor.codes), (f"{name}.scales", tensor.scales)]
        else:
            found.append((name, tensor.detach().float()))
    return [(name, tensor.cpu().contiguous()) for name, tensor in found]


def _metadata(bundle: ModelBundle) -> dict[str, str]:
    about = {
        "format_version": FORMAT_VERSION,
        "framework_version": __version__,
        "model": bundle.model.to_dict(),
        "quantizers": [rule.model_dump(mode="json") for rule in bundle.quantizers],
        "group_sizes": {n: t.group_size for n, t in bundle.tensors.items() if isinstance(t, QuantizedWeight)},
        "facts": {fact: bundle.metadata[fact] for fact in _FACTS if fact in bundle.metadata},
    }
    metadata = {"format": "pt", _ABOUT: json.dumps(about)}
    if bundle.tokenizer is not None:
        metadata |= {_TOKENIZER: bundle.tokenizer.to_json(), _FINGERPRINT: bundle.tokenizer.fingerprint}
    return metadata


def _lines(bundle: ModelBundle) -> tuple[str, ...]:
    quantized = [tensor for tensor in bundle.tensors.values() if isinstance(tensor, QuantizedWeight)]
    kinds = " and ".join(sorted({str(tensor.codes.dtype).removeprefix("torch.") for tensor in quantized}))
    codes = f", {len(quantized)} of them as {kinds} codes and float32 scales" if quantized else ""
    tokenizer = "with its tokenizer" if bundle.tokenizer else "without a tokenizer, for the model has none"
    return (f"{len(bundle.tensors)} tensors{codes}, {tokenizer}: a MODEL for every command of nanochat",)


class SafetensorsImporter(Importer):
    """Reads the files of this exporter."""

    def load(self, path: Path, registry: Registry) -> ModelBundle:
        """Read a file. Raises UsageError, with the path and the reason, for one of another kind or that is damaged."""
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()} if _ABOUT in metadata else {}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise UsageError(f"{path}: cannot be read ({error})") from None
        about = _about(metadata, path)
        model = select_model(about["model"], f"{path}: model", registry)
        rules = select_quantizers(about["quantizers"], f"{path}: quantizers", registry)
        description: ModelDescription = model.config.describe()
        joined = _joined(tensors, about["group_sizes"], path)
        _check_names(joined, description, path)
        facts = {"name": path.stem, **about["facts"]}
        return ModelBundle(model, rules, description, joined, _tokenizer(metadata, path), facts)


def _about(metadata: Mapping[str, str], path: Path) -> dict[str, Any]:
    """What a file says of itself. Raises UsageError."""
    if _ABOUT not in metadata:
        beside = path.parent / "config.json"
        remedy = f"name the folder {path.parent}" if beside.is_file() else "name the folder of its checkpoint"
        raise UsageError(f"{path}: holds tensors without saying of which model; {remedy}, or export --to safetensors")
    try:
        about: dict[str, Any] = json.loads(metadata[_ABOUT])
        version = about["format_version"]
        sizes, facts = about["group_sizes"], about["facts"]
        whole = isinstance(sizes, dict) and isinstance(facts, dict) and {"model", "quantizers"} <= about.keys()
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UsageError(f"{path}: its metadata {_ABOUT!r} is damaged") from None
    if version != FORMAT_VERSION:
        raise UsageError(f"{path}: format_version {version}, this version reads {FORMAT_VERSION}")
    if not whole or not all(type(size) is int and size > 0 for size in sizes.values()):
        raise UsageError(f"{path}: its metadata {_ABOUT!r} is damaged")
    return about


def _joined(tensors: dict[str, Tensor], sizes: Mapping[str, int], path: Path) -> dict[str, Tensor | QuantizedWeight]:
    """Codes and scales together again. Raises UsageError where they do not fit."""
    found: dict[str, Tensor | QuantizedWeight] = {}
    for name, size in sizes.items():
        try:
            found[name] = QuantizedWeight(tensors.pop(f"{name}.codes"), tensors.pop(f"{name}.scales"), size)
        except KeyError as error:
            raise UsageError(f"{path}: the tensor {error} is missing") from None
        except ValueError as error:
            raise UsageError(f"{path}: {name}: {error}") from None
    return {**{name: tensor.float() for name, tensor in tensors.items()}, **found}


def _check_names(tensors: Mapping[str, Any], description: ModelDescription, path: Path) -> None:
    """Raise UsageError unless the tensors are those of the model; left out for parts that do not know their own."""
    if any(part.tensors is None for part in description.opaque()):
        return
    odd = sorted({spec.name for spec in description.tensors()} ^ set(tensors))
    if odd:
        raise UsageError(
            f"{path}: {odd[0]} {'is not in the model that it describes' if odd[0] in tensors else 'is missing'}"
        )


def _tokenizer(metadata: Mapping[str, str], path: Path) -> Tokenizer | None:
    if _TOKENIZER not in metadata:
        return None
    try:
        definition = json.loads(metadata[_TOKENIZER])
    except (ValueError, RecursionError):
        raise UsageError(f"{path}: its metadata {_TOKENIZER!r} is damaged") from None
    tokenizer = Tokenizer(definition, origin=f"{path}: {_TOKENIZER}")
    if tokenizer.fingerprint != metadata.get(_FINGERPRINT):
        raise UsageError(f"{path}: its tokenizer is not the one of {_FINGERPRINT}; the file is damaged")
    return tokenizer


def build_safetensors_exporter(config: SafetensorsConfig) -> SafetensorsExporter:
    """Factory of the exporter `safetensors`."""
    return SafetensorsExporter()


def build_safetensors_importer(config: SafetensorsConfig) -> SafetensorsImporter:
    """Factory of the importer `safetensors`."""
    return SafetensorsImporter()
