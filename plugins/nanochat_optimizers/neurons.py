"""NorMuon's second moment: rows of a direction brought to one size (Li et al. 2025, arXiv 2510.05491).

Orthogonalised directions have rows of different sizes, so some outputs of a layer would learn faster than others.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_EPS = 1e-10


def neuron_squares(weight: Tensor) -> Tensor:
    """Float32 zeros, one for each row of a weight (..., rows, columns)."""
    return torch.zeros(weight.shape[:-1], dtype=torch.float32, device=weight.device)


def even_out_(directions: Tensor, squares: Sequence[Tensor], beta2: float) -> None:
    """v ← β₂v + (1 - β₂) · mean over columns of U²; U ← U / √v · c, c such that each matrix keeps its Frobenius norm.

    v starts at 0 and needs no bias correction: a factor that all rows share falls out with c. Nothing of the size of
    the directions is allocated.

    Args:
        directions: U (n, rows, columns); changed in place.
        squares: v of the parameters that make up the stack, n · rows values in all; changed in place.
    """
    n, rows, columns = directions.shape
    lengths = torch.linalg.vector_norm(directions, dim=-1, dtype=torch.float32)
    averages = torch.cat([part.flatten() for part in squares]).view(n, rows)
    averages.lerp_(lengths.square() / columns, 1.0 - beta2)
    counts = [part.numel() for part in squares]
    for part, new in zip(squares, torch.split(averages.flatten(), counts), strict=True):
        part.copy_(new.view(part.shape))
    factors = averages.sqrt_().add_(_EPS).reciprocal_()
    norms, new_norms = (torch.linalg.vector_norm(each, dim=-1, keepdim=True) for each in (lengths, lengths * factors))
    directions.mul_((factors * (norms / (new_norms + _EPS)))[..., None])
