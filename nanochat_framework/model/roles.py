"""Roles of parameters: what a parameter is for, given by the module that creates it.

Optimizers and quantizers choose by role. Choosing by shape is how an earlier system sent hash tables to Muon. A
stranger's component may use a role of its own; `[[optimizer]] match = "its_role"` finds it.
"""

from __future__ import annotations

from typing import Final

MATRIX: Final = "matrix"
"""A linear map inside a block: (out_features, in_features)."""
EMBEDDING: Final = "embedding"
"""A table with a row for each token: (vocab_size, dim); with tied weights the model's first one is the head too."""
HEAD: Final = "head"
"""The untied output map: (vocab_size, dim)."""
NORM: Final = "norm"
"""Gains of a normalisation."""
RESIDUAL: Final = "residual"
"""Mixing weights of a residual stream."""
ROUTER: Final = "router"
"""The map that chooses experts; kept in full precision."""
EXPERT_BIAS: Final = "expert_bias"
"""What is added to the scores that experts are chosen by; moved by how many tokens chose each, not by a gradient."""
GATE: Final = "gate"
"""Small maps or vectors that open and close a path (decay, write strength, output gates)."""
CONV: Final = "conv"
"""Short convolutions over time."""
BIAS: Final = "bias"
"""Additive vectors."""
MTP_HEAD: Final = "mtp_head"
"""Extra heads of multi-token prediction; counted apart."""
QUANTIZER_SCALE: Final = "quantizer_scale"
"""Learned scales of a quantised weight; what they stand for is the quantizer's affair."""


def is_optimised(role: str) -> bool:
    """Whether parameters of a role belong to an `[[optimizer]]` table; the others are moved by their own module."""
    return role != EXPERT_BIAS
