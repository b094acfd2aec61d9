"""The GGUF exporter: an architecture of stock llama.cpp where one carries the model exactly, else our own dialect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

from torch import Tensor

from nanochat_exporters.config import GgufConfig
from nanochat_exporters.gguf import dialect
from nanochat_exporters.gguf.architectures import StockArchitecture, best_fit, named
from nanochat_exporters.gguf.choice import LaidOut, StorageChoice
from nanochat_exporters.gguf.contents import CannotCarry, Contents, Value
from nanochat_exporters.gguf.file_writer import write_file
from nanochat_exporters.gguf.float_types import FLOAT_TYPES, FloatType
from nanochat_exporters.gguf.placement import Placement, Swap, Weight, gather, ones
from nanochat_exporters.gguf.provenance import element_count, general_keys, model_keys, value_keys
from nanochat_exporters.gguf.stock import keys, placements
from nanochat_exporters.gguf.storage import StoredTensor, store_float, store_quantized
from nanochat_exporters.gguf.vocabulary import vocabulary_keys
from nanochat_framework.contracts.exporter import Exporter, ExportReport, ModelBundle, Rounding
from nanochat_framework.errors import UsageError
from nanochat_framework.model.quantized import QuantizedWeight

_FLOAT32 = 4
"""Bytes of a value before it is stored."""


class GgufExporter(Exporter):
    """Writes one file; codes and scales go in as training used them, float tensors as F32 unless told otherwise."""

    def __init__(self, config: GgufConfig) -> None:
        self.config = config

    def export(self, bundle: ModelBundle, path: Path) -> ExportReport:
        """Write the file. Raises UsageError naming what cannot be carried, and the remedy."""
        laid_out, architecture, why = self._choose(bundle)
        choice = StorageChoice(self.config, bundle, laid_out)
        tensors = self._stored(laid_out, choice)
        keys = self._keys(bundle, architecture, tensors, path) | value_keys(bundle, [place for place, _ in laid_out])
        n_bytes = write_file(Contents(architecture.name if architecture else dialect.ARCHITECTURE, keys, tensors), path)
        places = [place for place, _ in laid_out]
        sizes, columns = (
            _bytes_of_parts(places, tensors),
            {name: place.columns for place in places for name in place.names},
        )
        rounded = {
            name: Rounding(kind, _rounding(FLOAT_TYPES[kind], columns[name]), sizes[name])
            for name, kind in choice.rounded().items()
        }
        return ExportReport(path, n_bytes, (why, *_sizes(tensors, n_bytes), *choice.lines()), rounded)

    def _stored(self, laid_out: list[LaidOut], choice: StorageChoice) -> list[StoredTensor]:
        """Every tensor in the type that it gets."""
        stored = []
        with self.progress("storing tensors", sum(_FLOAT32 * prod(place.shape) for place, _ in laid_out)) as bar:
            for place, whole in laid_out:
                stored.append(_store(place, whole, choice))
                bar.advance(_FLOAT32 * prod(place.shape))
        return stored

    def _choose(self, bundle: ModelBundle) -> tuple[list[LaidOut], StockArchitecture | None, str]:
        """The file's tensors before they have types, the architecture (None: our own), and a line on the choice."""
        wanted = self.config.architecture
        if wanted == dialect.ARCHITECTURE:
            return _in_dialect(bundle), None, _DIALECT + " (asked for)"
        best = best_fit(bundle.description)
        architecture = best if wanted == "auto" else named(wanted, best.experts)
        try:
            laid_out = _lay_out(placements(architecture, bundle.description), bundle)
        except CannotCarry as reason:
            if wanted != "auto":
                raise UsageError(
                    f"architecture {wanted} cannot carry this model: {reason}; use architecture=auto"
                ) from None
            return _in_dialect(bundle), None, f"{_DIALECT}, because {reason}"
        runs = _STOCK if bundle.tokenizer else _STOCK_WITHOUT_TEXT
        return laid_out, architecture, f"architecture {architecture.name}: {runs}"

    def _keys(
        self, bundle: ModelBundle, architecture: StockArchitecture | None, tensors: list[StoredTensor], path: Path
    ) -> dict[str, Value]:
        name = self.config.model_name or str(bundle.metadata.get("name") or path.stem)
        license_name = self.config.license or bundle.metadata.get("license")
        found = general_keys(tensors, name, license_name)
        if architecture is not None:
            found |= keys(architecture, bundle.description)
        template = bundle.metadata.get("chat_template")
        return found | vocabulary_keys(bundle.tokenizer, bundle.description.vocab_size, template) | model_keys(bundle)


def _lay_out(places: list[Placement], bundle: ModelBundle) -> list[LaidOut]:
    return [(place, gather(place, bundle.tensors) if place.parts else None) for place in places]


def _in_dialect(bundle: ModelBundle) -> list[LaidOut]:
    return _lay_out(dialect.placements((name, tuple(tensor.shape)) for name, tensor in bundle.tensors.items()), bundle)


def _store(place: Placement, whole: Weight | None, choice: StorageChoice) -> StoredTensor:
    if whole is None:
        return ones(place)
    store: Any = store_quantized if isinstance(whole, QuantizedWeight) else store_float
    stored: StoredTensor = store(place.names[0], whole, choice.of_place(place))
    return replace(stored, name=place.file_name)


def _rounding(kind: FloatType, columns: Swap | None) -> Callable[[Tensor], Tensor]:
    """What a type does to a matrix, whose columns it may have met in another order."""
    if columns is None:
        return kind.round
    order = columns.order()
    return lambda values: kind.round(values[..., order.to(values.device)])[..., order.argsort()]


def _bytes_of_parts(places: list[Placement], tensors: list[StoredTensor]) -> dict[str, int]:
    """Bytes of each tensor of the model, its share of one that holds several."""
    found = {}
    for place, stored in zip(places, tensors, strict=True):
        for name, shape in place.parts:
            found[name] = stored.n_bytes * prod(shape) // prod(stored.shape)
    return found


_STOCK = "stock llama.cpp runs this file"
_STOCK_WITHOUT_TEXT = "stock llama.cpp loads this file but makes no text of it, for the model has no tokenizer"
_DIALECT = "architecture nanochat: read by nanochat, not by stock llama.cpp"


def _sizes(tensors: list[StoredTensor], n_bytes: int) -> list[str]:
    """`TQ2_0 14 tensors ...` for each type, and the whole."""
    lines = []
    total = 0
    for kind in sorted({tensor.type_name for tensor in tensors}):
        of_kind = [tensor for tensor in tensors if tensor.type_name == kind]
        weights = sum(element_count(tensor) for tensor in of_kind)
        stored = sum(tensor.n_bytes for tensor in of_kind)
        total += weights
        lines.append(f"{kind}: {len(of_kind)} tensors, {weights:,} weights, {8 * stored / weights:.4g} bits each")
    return [*lines, f"whole file: {n_bytes:,} bytes, {8 * n_bytes / total:.3g} bits for each of {total:,} weights"]


def build_gguf_exporter(config: GgufConfig) -> GgufExporter:
    """Factory of `gguf`."""
    return GgufExporter(config)
