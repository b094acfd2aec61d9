"""A whole model in one JSON file.

`model` and `quantizers` are the tables that the model was configured by, `tensors` its weights by name. A weight that
training quantised is its codes and scales as training used them, and every other number is written with all its digits:
what is read back is the same bit for bit. A tokenizer goes along as the content of its tokenizer.json.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nanochat_framework.contracts.exporter import Exporter, ExportReport, Importer, ModelBundle
from nanochat_framework.data.tokenizer import Tokenizer
from nanochat_framework.errors import UsageError
from nanochat_framework.inference.tables import select_model, select_quantizers
from nanochat_framework.model.quantized import QuantizedWeight
from nanochat_framework.plugins import Registry
from nanochat_framework.runs.atomic import new_file

from .config import WidgetConfig, WidgetImporterConfig

FORMAT = "acme/widget 1"
FACTS = ("name", "step", "tokens")


class WidgetExporter(Exporter):
    """Writes any model. An exporter that cannot carry one raises UsageError and names the part (`bundle.description`)."""

    def __init__(self, config: WidgetConfig) -> None:
        self.indent = config.indent or None

    def export(self, bundle: ModelBundle, path: Path) -> ExportReport:
        """Write the file, which nobody ever sees half of. Raises UsageError where the path cannot be written to."""
        content = {
            "format": FORMAT,
            "facts": {fact: bundle.metadata[fact] for fact in FACTS if fact in bundle.metadata},
            "model": bundle.model.to_dict(),
            "quantizers": [rule.model_dump(mode="json", exclude_none=True) for rule in bundle.quantizers],
            "tokenizer": None if bundle.tokenizer is None else bundle.tokenizer.definition,
            "tensors": {name: _written(tensor) for name, tensor in bundle.tensors.items()},
        }
        with new_file(path) as temporary:
            temporary.write_text(json.dumps(content, indent=self.indent), encoding="utf-8")
        lines = (f"{len(bundle.tensors)} tensors as JSON: a MODEL for every command of nanochat",)
        return ExportReport(path, path.stat().st_size, lines)


class WidgetImporter(Importer):
    """Reads the files of the exporter."""

    def load(self, path: Path, registry: Registry) -> ModelBundle:
        """Read a file. Raises UsageError, with the path and the reason, for one that is not what it should be."""
        try:
            content = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise UsageError(f"{path}: cannot be read ({error})") from None
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise UsageError(f"{path}: is no file of the exporter acme/widget")
        try:
            tensors = {name: _read(written) for name, written in content["tensors"].items()}
            tables, quantizers, facts = content["model"], content["quantizers"], dict(content["facts"])
            tokenizer = content["tokenizer"]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UsageError(f"{path}: is damaged ({type(error).__name__}: {error})") from None
        model = select_model(tables, f"{path}: model", registry)
        return ModelBundle(
            model=model,
            quantizers=select_quantizers(quantizers, f"{path}: quantizers", registry),
            description=model.config.describe(),
            tensors=tensors,
            tokenizer=None if tokenizer is None else Tokenizer(tokenizer, origin=f"{path}: tokenizer"),
            metadata={"name": path.stem, **facts},
        )


def _written(tensor: Tensor | QuantizedWeight) -> dict[str, Any]:
    """A tensor as JSON. Python writes a float so that reading it gives the same one."""
    if isinstance(tensor, QuantizedWeight):
        kind = str(tensor.codes.dtype).removeprefix("torch.")
        scales = tensor.scales.tolist()
        return {"codes": tensor.codes.float().tolist(), "kind": kind, "scales": scales, "group_size": tensor.group_size}
    return {"values": tensor.float().tolist()}


def _read(written: dict[str, Any]) -> Tensor | QuantizedWeight:
    """The tensor again. Raises KeyError, TypeError or ValueError."""
    if "values" in written:
        return torch.tensor(written["values"], dtype=torch.float32)
    codes = torch.tensor(written["codes"], dtype=torch.float32).to(getattr(torch, written["kind"]))
    return QuantizedWeight(codes, torch.tensor(written["scales"], dtype=torch.float32), written["group_size"])


def build_exporter(config: WidgetConfig) -> WidgetExporter:
    """Factory of the exporter acme/widget."""
    return WidgetExporter(config)


def build_importer(config: WidgetImporterConfig) -> WidgetImporter:
    """Factory of the importer acme/widget."""
    return WidgetImporter()
