"""`.mhc`: the mixing weights of a model with several residual streams, byte by byte as the earlier system had them.

All numbers are little-endian. A header of four uint32 (magic, version, sub-layers, streams) and one record a sub-layer,
attention before feed-forward, all float32: for 2 streams the mixing logit, for 4 the 24 logits of the permutations in
lexicographic order, then reading logits, reading biases, writing logits, writing biases. A logit and its bias only ever act as
their sum: biases are written as 0, and a reader adds them. Version 1 mixes first and then adds a sub-layer's output,
version 2 adds first; strengths are σ(reading) and 2σ(writing).
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import Tensor

from nanochat_exporters.config import MhcFileConfig
from nanochat_framework.contracts.exporter import Exporter, ExportReport, ModelBundle
from nanochat_framework.errors import UsageError
from nanochat_framework.model.description import MixedStreams
from nanochat_framework.runs.atomic import new_file

MAGIC = 0x6D484321
MIX_THEN_ADD, ADD_THEN_MIX = 1, 2
HEADER = struct.Struct("<4I")

Logits = npt.NDArray[np.float32]


def mhc_bytes(version: int, mixing: Logits, read: Logits, write: Logits) -> bytes:
    """The file, from logits by sub-layer: `mixing` (sub-layers, 1 or 24), `read` and `write` (sub-layers, streams)."""
    sublayers, streams = read.shape
    none = np.zeros_like(read)
    records = np.concatenate([mixing, read, none, write, none], axis=1)
    return HEADER.pack(MAGIC, version, sublayers, streams) + records.astype("<f4").tobytes()


class MhcExporter(Exporter):
    """Writes the constant weights; a model whose weights depend on content has more than the format holds."""

    def export(self, bundle: ModelBundle, path: Path) -> ExportReport:
        """Write the file. Raises UsageError for another residual, or where the path cannot be written to; DiskFull."""
        residual = bundle.description.residual
        if not isinstance(residual, MixedStreams):
            raise UsageError(f"{path}: this model has no mHC streams (its residual is {type(residual).__name__})")
        if residual.dynamic:
            raise UsageError(f"{path}: .mhc holds constant weights, this model's depend on content (dynamic = true)")
        values = {spec.name.rpartition(".")[2]: bundle.tensors[spec.name] for spec in residual.tensors}
        read, write, mixing = (_array(values[f"{name}_weight"]) for name in ("read", "write", "mixing"))
        version = MIX_THEN_ADD if residual.mixes_first else ADD_THEN_MIX
        data = mhc_bytes(version, mixing, read, write)
        with new_file(path) as temporary:
            temporary.write_bytes(data)
        order = "mix, then add" if residual.mixes_first else "add, then mix"
        line = f"version {version} ({order}), {residual.streams} streams, {len(read)} sub-layers"
        return ExportReport(path, len(data), (line,))


def _array(tensor: object) -> Logits:
    assert isinstance(tensor, Tensor)
    array: Logits = tensor.detach().cpu().float().numpy()
    return array


def build_mhc_exporter(config: MhcFileConfig) -> MhcExporter:
    """Factory of `mhc`."""
    return MhcExporter()
