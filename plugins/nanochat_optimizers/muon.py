"""Muon: momentum orthogonalised by Newton-Schulz (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from nanochat_framework.contracts.optimizer import NamedParameter
from nanochat_framework.errors import UsageError
from nanochat_optimizers.batching import stacks
from nanochat_optimizers.config import MuonConfig
from nanochat_optimizers.orthogonalize import iterations, orthogonalize_, product_dtype
from nanochat_optimizers.slots import SlotOptimizer, gradients_of, like_weight, shape_of, weights_of


class Muon(SlotOptimizer):
    """B ← βB + (1 - β)g; U = orthogonalize((1 - β)g + βB); w ← w · (1 - lr · wd) - lr · scale · U.

    Without Nesterov momentum U = orthogonalize(B). Matrices of one shape are stacked and orthogonalised together; a
    parameter (n, rows, columns) is n matrices (experts). `scale` depends on the shape, see `shape_scale`.
    """

    slots: ClassVar[Mapping[str, Callable[[Tensor], Tensor]]] = {"momentum_buffer": like_weight}

    def __init__(self, config: MuonConfig, parameters: Sequence[NamedParameter]) -> None:
        """Raises UsageError for a parameter that is neither a matrix nor a stack of matrices."""
        for parameter in parameters:
            if parameter.tensor.ndim not in (2, 3):
                raise UsageError(
                    f"[[optimizer]] muon cannot update {parameter.name} (role {parameter.role!r}, shape "
                    f"{tuple(parameter.tensor.shape)}): it takes matrices; match roles that are matrices, or put a "
                    f"table that matches {parameter.role!r} before this one"
                )
        super().__init__(parameters, self.slots)
        self.config = config
        self.quintics = iterations(config.coefficients, config.ns_steps)

    @torch.no_grad()
    def step(self, hyperparameters: Mapping[str, float]) -> None:
        """One update; see `contracts.optimizer`."""
        for members in stacks(self.with_gradients(), shape_of):
            self._update(members, hyperparameters)

    def _update(self, members: Sequence[NamedParameter], hyperparameters: Mapping[str, float]) -> None:
        """Update parameters whose matrices have one shape."""
        lr, momentum = hyperparameters["lr"], hyperparameters["momentum"]
        weights, gradients, buffers = weights_of(members), gradients_of(members), self.momenta(members)
        torch._foreach_lerp_(buffers, gradients, 1.0 - momentum)
        stack = _stacked(gradients)
        torch._foreach_lerp_(_parts(stack, weights), buffers, momentum if self.config.nesterov else 1.0)
        self.keep(members, buffers)
        del buffers
        dtype = product_dtype(self.config.orthogonalize_in, stack.device)
        updates = _parts(orthogonalize_(stack, self.quintics, dtype), weights)
        rows, columns = weights[0].shape[-2:]
        if hyperparameters["weight_decay"]:
            torch._foreach_mul_(weights, 1.0 - lr * hyperparameters["weight_decay"])
        torch._foreach_add_(weights, updates, alpha=-lr * shape_scale(self.config.shape_scale, rows, columns))

    def momenta(self, members: Sequence[NamedParameter]) -> list[Tensor]:
        """The averaged gradients, float32; changed in place, then given to `keep`."""
        return self.slot(members, "momentum_buffer")

    def keep(self, members: Sequence[NamedParameter], momenta: Sequence[Tensor]) -> None:
        """Keep what `momenta` gave; these are the state itself."""


def _stacked(tensors: Sequence[Tensor]) -> Tensor:
    """Copies of (..., rows, columns) tensors in one (n, rows, columns)."""
    return torch.cat([tensor.reshape(-1, *tensor.shape[-2:]) for tensor in tensors])


def _parts(stack: Tensor, weights: Sequence[Tensor]) -> list[Tensor]:
    """Views of a stack (n, rows, columns) in the shapes of the weights it was made for."""
    counts = [weight.numel() // (stack.shape[1] * stack.shape[2]) for weight in weights]
    parts = zip(torch.split(stack, counts), weights, strict=True)
    return [part.squeeze(0) if weight.ndim == 2 else part for part, weight in parts]


def shape_scale(name: str, rows: int, columns: int) -> float:
    """Factor on the learning rate of a (rows, columns) matrix.

    "spectral" keeps the RMS of the change of an output the same for every shape (the reference implementation's
    sqrt(max(1, rows / columns))); "rms" gives updates the RMS that AdamW's have (Liu et al. 2025, arXiv 2502.16982).
    """
    if name == "spectral":
        return math.sqrt(max(1.0, rows / columns))
    if name == "rms":
        return 0.2 * math.sqrt(max(rows, columns))
    return 1.0


def build_muon(config: MuonConfig, *, parameters: Sequence[NamedParameter]) -> Muon:
    """Factory of `muon`."""
    return Muon(config, parameters)
