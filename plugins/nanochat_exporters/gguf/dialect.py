"""Our own architecture, `nanochat`: any model, under its own parameter names, in stock tensor types.

The structure is not spelled out in keys: `nanochat.model` and `nanochat.quantizers` (see `provenance`) are the tables the
model was made from, and the tensors are named as its parameters. Whoever has the components can build it again.
"""

from __future__ import annotations

from nanochat_exporters.gguf.stock import Placement
from nanochat_framework.contracts.exporter import ModelBundle

ARCHITECTURE = "nanochat"


def placements(bundle: ModelBundle) -> list[Placement]:
    """Every parameter under its own name."""
    return [Placement(name, name, tuple(tensor.shape)) for name, tensor in bundle.tensors.items()]
