"""Our own architecture, `nanochat`: any model, under its own parameter names, in stock tensor types.

The structure is not spelled out in keys: `nanochat.model` and `nanochat.quantizers` (see `provenance`) are the tables the
model was made from, and the tensors are named as its parameters. Whoever has the components can build it again.
"""

from __future__ import annotations

from collections.abc import Iterable

from nanochat_exporters.gguf.placement import Placement

ARCHITECTURE = "nanochat"


def placements(shapes: Iterable[tuple[str, tuple[int, ...]]]) -> list[Placement]:
    """Every parameter under its own name, from names and shapes."""
    return [Placement(name, ((name, shape),), shape) for name, shape in shapes]
