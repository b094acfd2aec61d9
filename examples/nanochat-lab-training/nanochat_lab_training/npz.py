"""One .npz file: every tensor as an array, for programs that have numpy and nothing else.

A weight that training quantised is three arrays: `NAME.codes` (int8), `NAME.scales` (float32, one for each row and group
of inputs) and `NAME.group_size`; its values are `code · scale`. Codes and scales are the ones that training used, bit for
bit: an exporter never rounds anew. All other tensors are float32 under their own names. `nanochat.json` is an array of bytes:
the model's settings as JSON. Nothing is pickled, so `numpy.load` reads it with its safe defaults.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from nanochat_framework.contracts.exporter import Exporter, ExportReport, ModelBundle
from nanochat_framework.errors import UsageError
from nanochat_framework.model.quantized import QuantizedWeight
from nanochat_framework.runs.atomic import new_file

from .config import NpzConfig

ABOUT = "nanochat.json"


class NpzExporter(Exporter):
    """Writes any model whose codes are whole numbers."""

    def __init__(self, config: NpzConfig) -> None:
        self.save = np.savez_compressed if config.compressed else np.savez

    def export(self, bundle: ModelBundle, path: Path) -> ExportReport:
        """Write the file, which nobody ever sees half of. Raises UsageError where that cannot be, DiskFull."""
        with new_file(path) as temporary, temporary.open("wb") as file:
            self.save(file, **_arrays(bundle))  # type: ignore[arg-type]
        coded = sum(isinstance(tensor, QuantizedWeight) for tensor in bundle.tensors.values())
        lines = (
            f"{len(bundle.tensors)} tensors, {coded} of them as codes and scales; numpy.load({path.name!r}) reads it",
        )
        return ExportReport(path, path.stat().st_size, lines)


def _arrays(bundle: ModelBundle) -> dict[str, np.ndarray]:
    """Everything that goes into the file. Raises UsageError for codes that numpy has no type for."""
    about = {"model": bundle.model.to_dict(), "step": bundle.metadata.get("step")}
    arrays = {ABOUT: np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)}
    for name, tensor in bundle.tensors.items():
        if not isinstance(tensor, QuantizedWeight):
            arrays[name] = tensor.detach().to("cpu", torch.float32).numpy()
        elif tensor.integer:
            arrays[f"{name}.codes"] = tensor.codes.cpu().numpy()
            arrays[f"{name}.scales"] = tensor.scales.cpu().numpy()
            arrays[f"{name}.group_size"] = np.array(tensor.group_size)
        else:
            raise UsageError(
                f"lab/npz: {name} is stored in 8-bit floats, which numpy does not have; use another exporter"
            )
    return arrays


def build_npz(config: NpzConfig) -> NpzExporter:
    """Factory."""
    return NpzExporter(config)
