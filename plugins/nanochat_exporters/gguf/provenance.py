"""General keys, and the keys from which our own reader rebuilds the exact configuration of a model.

They stand in files of both architectures; stock programs ignore the `nanochat.` ones.

| key | value |
|---|---|
| `nanochat.format_version` | 1 |
| `nanochat.model` | the `[model]` table as JSON |
| `nanochat.quantizers` | the `[[quantizer]]` tables as a JSON list (rounding of activations belongs to the model) |
| `nanochat.group_sizes` | JSON object: parameter name -> weights that share a scale, for quantised tensors |
| `nanochat.values.NAME` | float32 array: a parameter that the architecture holds another function of |
| `nanochat.framework_version`, `nanochat.step`, `nanochat.tokens` | what wrote the file; how long it was trained |
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor

from nanochat_exporters.gguf.contents import Value
from nanochat_exporters.gguf.placement import Placement, Weight, gather
from nanochat_exporters.gguf.storage import StoredTensor
from nanochat_framework import __version__
from nanochat_framework.config.rules import QuantizerRule
from nanochat_framework.config.selection import Selected
from nanochat_framework.contracts.exporter import ModelBundle
from nanochat_framework.errors import UsageError
from nanochat_framework.inference.tables import select_model, select_quantizers
from nanochat_framework.model.quantized import QuantizedWeight
from nanochat_framework.plugins.registry import Registry

FORMAT_VERSION = 1
_VALUES = "nanochat.values."
_QUANTIZATION_VERSION = 2
"""`general.quantization_version` of ggml's present block layouts."""
_FILE_TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 7, "Q6_K": 18, "BF16": 32, "TQ1_0": 36, "TQ2_0": 37}
"""`general.file_type` (llama_ftype) by the type that most weights have."""


def general_keys(tensors: list[StoredTensor], name: str, license_name: str | None) -> dict[str, Value]:
    """`general.*`: what any GGUF program shows."""
    weights: dict[str, int] = {}
    for tensor in tensors:
        weights[tensor.type_name] = weights.get(tensor.type_name, 0) + element_count(tensor)
    most = max(weights, key=lambda kind: weights[kind])
    keys: dict[str, Value] = {
        "general.type": "model",
        "general.name": name,
        "general.file_type": _FILE_TYPES[most],
        "general.quantization_version": _QUANTIZATION_VERSION,
    }
    if license_name:
        keys["general.license"] = license_name
    return keys


def model_keys(bundle: ModelBundle) -> dict[str, Value]:
    """`nanochat.*`: what our own reader needs, and where the file came from."""
    group_sizes = {name: t.group_size for name, t in bundle.tensors.items() if isinstance(t, QuantizedWeight)}
    keys: dict[str, Value] = {
        "nanochat.format_version": FORMAT_VERSION,
        "nanochat.model": json.dumps(bundle.model.to_dict()),
        "nanochat.quantizers": json.dumps([rule.model_dump(mode="json") for rule in bundle.quantizers]),
        "nanochat.group_sizes": json.dumps(group_sizes, sort_keys=True),
        "nanochat.framework_version": __version__,
    }
    for fact in ("step", "tokens"):
        if isinstance(bundle.metadata.get(fact), int):
            keys[f"nanochat.{fact}"] = bundle.metadata[fact]
    return keys


def value_keys(bundle: ModelBundle, places: Iterable[Placement]) -> dict[str, Value]:
    """The parameters whose last bits the file's own form of them may lose."""
    names = [name for place in places if place.function for name in place.names]
    tensors = {name: bundle.tensors[name] for name in names}
    return {f"{_VALUES}{name}": t.flatten().tolist() for name, t in tensors.items() if isinstance(t, Tensor)}


def with_exact_values(
    place: Placement, parts: dict[str, Weight], stored: Tensor, keys: Mapping[str, Any], where: str
) -> dict[str, Weight]:
    """Parts with the values that keys give them. Raises UsageError if these are not what the tensor was made from."""
    names = [name for name in parts if f"{_VALUES}{name}" in keys]
    if not names:
        return parts
    try:
        exact = {n: torch.tensor(keys[_VALUES + n], dtype=torch.float32).reshape(parts[n].shape) for n in names}
    except (TypeError, ValueError, RuntimeError):
        raise UsageError(
            f"{where}: the key {_VALUES}{names[0]} does not hold its values; the file is damaged"
        ) from None
    again = gather(place, {**parts, **exact})
    if not isinstance(again, Tensor) or not torch.allclose(again, stored, rtol=1e-5, atol=0.0, equal_nan=True):
        raise UsageError(f"{where}: differs from the key {_VALUES}{names[0]}; the file is damaged")
    return {**parts, **exact}


@dataclass(frozen=True)
class Rebuilt:
    """The configuration that a file carries. `group_sizes` has the tensors that training quantised.

    In a `foreign` file, from which that cannot be known, every tensor of codes counts as quantised.
    """

    model: Selected[Any]
    quantizers: tuple[QuantizerRule, ...]
    group_sizes: Mapping[str, int]
    foreign: bool = False


def rebuild(keys: Mapping[str, Any], where: str, registry: Registry) -> Rebuilt | None:
    """The configuration from `nanochat.*` keys, None where a file has none. Raises UsageError where they are damaged."""
    version = keys.get("nanochat.format_version")
    if version is None:
        return None
    if version != FORMAT_VERSION:
        raise UsageError(f"{where}: nanochat.format_version {version}, this version reads {FORMAT_VERSION}")
    group_sizes = _json(keys, "nanochat.group_sizes", where)
    if not isinstance(group_sizes, dict) or not all(isinstance(g, int) and g > 0 for g in group_sizes.values()):
        raise UsageError(f"{where}: nanochat.group_sizes does not map names to sizes")
    model = select_model(_json(keys, "nanochat.model", where), f"{where}: nanochat.model", registry)
    rules = select_quantizers(_json(keys, "nanochat.quantizers", where), f"{where}: nanochat.quantizers", registry)
    return Rebuilt(model, rules, group_sizes)


def _json(keys: Mapping[str, Any], key: str, where: str) -> Any:
    try:
        return json.loads(keys[key])
    except KeyError:
        raise UsageError(f"{where}: the key {key} is missing") from None
    except (TypeError, ValueError):
        raise UsageError(f"{where}: the key {key} is not JSON; the file is damaged") from None


def element_count(tensor: StoredTensor) -> int:
    """Number of weights."""
    return prod(tensor.shape)
