"""Muon: momentum orthogonalised by Newton-Schulz (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from nanochat_framework.contracts.optimizer import NamedParameter
from nanochat_framework.errors import UsageError
from nanochat_optimizers.batching import Shape, stacks
from nanochat_optimizers.config import MuonConfig
from nanochat_optimizers.neurons import even_out_, neuron_squares
from nanochat_optimizers.orthogonalize import iterations, orthogonalize_, product_dtype
from nanochat_optimizers.slots import SlotOptimizer, gradients_of, like_weight, weights_of

_SQUARES = "neuron_sq"


class Muon(SlotOptimizer):
    """B ← βB + (1 - β)g; U = orthogonalize((1 - β)g + βB); w ← w · (1 - lr · wd) - lr · scale · U.

    Without Nesterov momentum U = orthogonalize(B). Matrices of one shape are stacked and orthogonalised together; a
    parameter (n, rows, columns) is n matrices (experts), and with `split_heads` one whose rows belong to n heads is n
    matrices too. `scale` depends on the shape, see `shape_scale`. With `neuron_beta2` the rows of U are brought to one
    size, see `neurons`. With `cautious_decay` only weights w with w · U >= 0 decay (Chen et al. 2025, arXiv 2510.12402).
    """

    slots: ClassVar[Mapping[str, Callable[[Tensor], Tensor]]] = {"momentum_buffer": like_weight}

    def __init__(self, config: MuonConfig, parameters: Sequence[NamedParameter]) -> None:
        """Raises UsageError for a parameter that is no matrix or stack of them, and for `split_heads` without any heads."""
        for parameter in parameters:
            if parameter.tensor.ndim not in (2, 3):
                raise UsageError(
                    f"[[optimizer]] muon cannot update {parameter.name} (role {parameter.role!r}, shape "
                    f"{tuple(parameter.tensor.shape)}): it takes matrices; match roles that are matrices, or put a "
                    f"table that matches {parameter.role!r} before this one"
                )
        if config.split_heads and all(parameter.heads == 1 for parameter in parameters):
            raise UsageError(
                "[[optimizer]] split_heads: no parameter of this table has rows that belong to several heads; leave it out"
            )
        super().__init__(
            parameters, self.slots if config.neuron_beta2 is None else {**self.slots, _SQUARES: neuron_squares}
        )
        self.config = config
        self.quintics = iterations(config.coefficients, config.ns_steps)

    @torch.no_grad()
    def step(self, hyperparameters: Mapping[str, float]) -> None:
        """One update; see `contracts.optimizer`."""
        for members in stacks(self.with_gradients(), self._matrices):
            self._update(members, hyperparameters)

    def _matrices(self, parameter: NamedParameter) -> Shape:
        """The shape of a parameter as matrices, (n, rows, columns)."""
        rows, columns = parameter.tensor.shape[-2:]
        if self.config.split_heads:
            rows //= parameter.heads
        return (parameter.tensor.numel() // (rows * columns), rows, columns)

    def _update(self, members: Sequence[NamedParameter], hyperparameters: Mapping[str, float]) -> None:
        """Update parameters whose matrices have one shape."""
        lr, momentum, rows = hyperparameters["lr"], hyperparameters["momentum"], self._matrices(members[0])[1]
        weights, gradients, buffers = weights_of(members), gradients_of(members), self.momenta(members)
        torch._foreach_lerp_(buffers, gradients, 1.0 - momentum)
        stack = _stacked(gradients, rows)
        torch._foreach_lerp_(_parts(stack, weights), buffers, momentum if self.config.nesterov else 1.0)
        self.keep(members, buffers)
        del buffers
        dtype = product_dtype(self.config.orthogonalize_in, stack.device)
        stack = orthogonalize_(stack, self.quintics, dtype)
        if self.config.neuron_beta2 is not None:
            even_out_(stack, self.slot(members, _SQUARES), self.config.neuron_beta2)
        updates = _parts(stack, weights)
        self._decay(weights, updates, lr * hyperparameters["weight_decay"])
        torch._foreach_add_(weights, updates, alpha=-lr * shape_scale(self.config.shape_scale, *stack.shape[1:]))

    def _decay(self, weights: list[Tensor], updates: list[Tensor], share: float) -> None:
        """Take a share of the weights away."""
        if not share:
            return
        if not self.config.cautious_decay:
            torch._foreach_mul_(weights, 1.0 - share)
            return
        for weight, update in zip(weights, updates, strict=True):
            weight.mul_(torch.where(weight * update >= 0, 1.0 - share, 1.0))

    def momenta(self, members: Sequence[NamedParameter]) -> list[Tensor]:
        """The averaged gradients, float32; changed in place, then given to `keep`."""
        return self.slot(members, "momentum_buffer")

    def keep(self, members: Sequence[NamedParameter], momenta: Sequence[Tensor]) -> None:
        """Keep what `momenta` gave; these are the state itself."""


def _stacked(tensors: Sequence[Tensor], rows: int) -> Tensor:
    """Copies of tensors in one (n, rows, columns)."""
    return torch.cat([tensor.reshape(-1, rows, tensor.shape[-1]) for tensor in tensors])


def _parts(stack: Tensor, weights: Sequence[Tensor]) -> list[Tensor]:
    """A stack (n, rows, columns) in the shapes of the weights it was made for; views of a contiguous one."""
    counts = [weight.numel() // (stack.shape[1] * stack.shape[2]) for weight in weights]
    return [part.reshape(weight.shape) for part, weight in zip(torch.split(stack, counts), weights, strict=True)]


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
