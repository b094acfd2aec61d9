"""The GGUF exporter: `llama` where stock llama.cpp can carry the model exactly, else our own dialect."""

from __future__ import annotations

from pathlib import Path

from nanochat_exporters.config import GgufConfig
from nanochat_exporters.gguf import dialect, llama
from nanochat_exporters.gguf.contents import CannotCarry, Contents, Value
from nanochat_exporters.gguf.file_writer import write_file
from nanochat_exporters.gguf.provenance import element_count, general_keys, model_keys
from nanochat_exporters.gguf.storage import StoredTensor, store_float, store_quantized
from nanochat_exporters.gguf.vocabulary import vocabulary_keys
from nanochat_framework.contracts.exporter import Exporter, ExportReport, ModelBundle
from nanochat_framework.errors import UsageError
from nanochat_framework.model.quantized import QuantizedWeight


class GgufExporter(Exporter):
    """Writes one file; codes and scales go in as training used them, float tensors as F32 unless told otherwise."""

    def __init__(self, config: GgufConfig) -> None:
        self.config = config

    def export(self, bundle: ModelBundle, path: Path) -> ExportReport:
        """Write the file. Raises UsageError naming what cannot be carried, and the remedy."""
        places, architecture, why = self._choose(bundle)
        tensors = [self._store(bundle, place) for place in places]
        keys = self._keys(bundle, architecture, tensors, path)
        n_bytes = write_file(Contents(architecture, keys, tensors), path)
        return ExportReport(path, n_bytes, (why, *_sizes(tensors, n_bytes), *self._rounded()))

    def _choose(self, bundle: ModelBundle) -> tuple[list[llama.Placement], str, str]:
        if self.config.architecture == "nanochat":
            return dialect.placements(bundle), dialect.ARCHITECTURE, _DIALECT + " (asked for)"
        try:
            places = llama.placements(bundle.description)
        except CannotCarry as reason:
            if self.config.architecture == "llama":
                raise UsageError(
                    f"architecture llama cannot carry this model: {reason}; use architecture=nanochat"
                ) from None
            return dialect.placements(bundle), dialect.ARCHITECTURE, f"{_DIALECT}, because {reason}"
        return places, llama.ARCHITECTURE, _LLAMA if bundle.tokenizer else _LLAMA_WITHOUT_TEXT

    def _keys(
        self, bundle: ModelBundle, architecture: str, tensors: list[StoredTensor], path: Path
    ) -> dict[str, Value]:
        name = self.config.model_name or str(bundle.metadata.get("name") or path.stem)
        license_name = self.config.license or bundle.metadata.get("license")
        keys = general_keys(tensors, name, license_name)
        keys |= llama.keys(bundle.description) if architecture == llama.ARCHITECTURE else {}
        return keys | vocabulary_keys(bundle.tokenizer, bundle.description.vocab_size) | model_keys(bundle)

    def _store(self, bundle: ModelBundle, place: llama.Placement) -> StoredTensor:
        if place.name is None:
            return llama.ones(place)
        tensor = bundle.tensors[place.name]
        if isinstance(tensor, QuantizedWeight):
            stored = store_quantized(place.name, llama.reorder_quantized(tensor, place.heads))
        else:
            wide = place.name in self._tables(bundle) and self.config.embedding_type == "f16"
            stored = store_float(place.name, llama.reorder_rows(tensor, place.heads), "F16" if wide else "F32")
        return StoredTensor(place.file_name, stored.type_name, stored.shape, stored.data)

    def _tables(self, bundle: ModelBundle) -> set[str]:
        head = bundle.description.head
        return {bundle.description.embedding.weight.name} | ({head.weight.name} if head else set())

    def _rounded(self) -> tuple[str, ...]:
        if self.config.embedding_type == "f32":
            return ()
        return ("embedding and head are rounded to float16 (embedding_type=f16)",)


_LLAMA = "architecture llama: stock llama.cpp runs this file"
_LLAMA_WITHOUT_TEXT = (
    "architecture llama: stock llama.cpp loads this file but makes no text of it, for the model has no tokenizer"
)
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
