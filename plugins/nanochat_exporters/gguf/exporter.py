"""The GGUF exporter: an architecture of stock llama.cpp where one carries the model exactly, else our own dialect."""

from __future__ import annotations

from pathlib import Path

from nanochat_exporters.config import GgufConfig
from nanochat_exporters.gguf import dialect, stock
from nanochat_exporters.gguf.choice import StorageChoice
from nanochat_exporters.gguf.contents import CannotCarry, Contents, Value
from nanochat_exporters.gguf.file_writer import write_file
from nanochat_exporters.gguf.float_types import FLOAT_TYPES
from nanochat_exporters.gguf.provenance import element_count, general_keys, model_keys
from nanochat_exporters.gguf.storage import StoredTensor, store_float, store_quantized
from nanochat_exporters.gguf.vocabulary import vocabulary_keys
from nanochat_framework.contracts.exporter import Exporter, ExportReport, ModelBundle, Rounding
from nanochat_framework.errors import UsageError
from nanochat_framework.model.quantized import QuantizedWeight


class GgufExporter(Exporter):
    """Writes one file; codes and scales go in as training used them, float tensors as F32 unless told otherwise."""

    def __init__(self, config: GgufConfig) -> None:
        self.config = config

    def export(self, bundle: ModelBundle, path: Path) -> ExportReport:
        """Write the file. Raises UsageError naming what cannot be carried, and the remedy."""
        choice = StorageChoice(self.config, bundle)
        places, architecture, why = self._choose(bundle)
        tensors = [_store(bundle, place, choice) for place in places]
        keys = self._keys(bundle, architecture, tensors, path)
        n_bytes = write_file(Contents(architecture, keys, tensors), path)
        sizes = {place.name: stored.n_bytes for place, stored in zip(places, tensors, strict=True)}
        rounded = {
            name: Rounding(kind, FLOAT_TYPES[kind].round, sizes[name]) for name, kind in choice.rounded().items()
        }
        return ExportReport(path, n_bytes, (why, *_sizes(tensors, n_bytes), *choice.lines()), rounded)

    def _choose(self, bundle: ModelBundle) -> tuple[list[stock.Placement], str, str]:
        wanted = self.config.architecture
        if wanted == dialect.ARCHITECTURE:
            return dialect.placements(bundle), dialect.ARCHITECTURE, _DIALECT + " (asked for)"
        architecture = stock.best_fit(bundle.description) if wanted == "auto" else stock.STOCK[wanted]
        try:
            places = stock.placements(architecture, bundle.description)
        except CannotCarry as reason:
            if wanted != "auto":
                raise UsageError(
                    f"architecture {wanted} cannot carry this model: {reason}; use architecture=auto"
                ) from None
            return dialect.placements(bundle), dialect.ARCHITECTURE, f"{_DIALECT}, because {reason}"
        runs = _STOCK if bundle.tokenizer else _STOCK_WITHOUT_TEXT
        return places, architecture.name, f"architecture {architecture.name}: {runs}"

    def _keys(
        self, bundle: ModelBundle, architecture: str, tensors: list[StoredTensor], path: Path
    ) -> dict[str, Value]:
        name = self.config.model_name or str(bundle.metadata.get("name") or path.stem)
        license_name = self.config.license or bundle.metadata.get("license")
        keys = general_keys(tensors, name, license_name)
        if architecture in stock.STOCK:
            keys |= stock.keys(stock.STOCK[architecture], bundle.description)
        return keys | vocabulary_keys(bundle.tokenizer, bundle.description.vocab_size) | model_keys(bundle)


def _store(bundle: ModelBundle, place: stock.Placement, choice: StorageChoice) -> StoredTensor:
    if place.name is None:
        return stock.ones(place)
    tensor, kind = bundle.tensors[place.name], choice.of(place.name)
    if isinstance(tensor, QuantizedWeight):
        stored = store_quantized(place.name, stock.reorder_quantized(tensor, place.heads), kind)
    else:
        stored = store_float(place.name, stock.reorder_rows(tensor, place.heads), kind)
    return StoredTensor(place.file_name, stored.type_name, stored.shape, stored.data)


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
