"""Lion and Muon with their momentum in 8 bits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from nanochat_framework.contracts.optimizer import NamedParameter
from nanochat_optimizers.blockwise import load, store, zero_codes, zero_scales
from nanochat_optimizers.config import Lion8bitConfig, Muon8bitConfig
from nanochat_optimizers.muon import Muon
from nanochat_optimizers.slots import SlotOptimizer, counter

_SLOTS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "momentum_codes": zero_codes,
    "momentum_scales": zero_scales,
    "step": counter,
}


class Lion8bit(SlotOptimizer):
    """Lion (see `lion`), one parameter at a time, so that one momentum at a time is there in full."""

    def __init__(self, config: Lion8bitConfig, parameters: Sequence[NamedParameter]) -> None:
        super().__init__(parameters, _SLOTS)
        self.betas = config.betas

    @torch.no_grad()
    def step(self, hyperparameters: Mapping[str, float]) -> None:
        """One update; see `contracts.optimizer`."""
        lr, weight_decay = hyperparameters["lr"], hyperparameters["weight_decay"]
        for parameter in self.with_gradients():
            weight, gradient = parameter.tensor, parameter.tensor.grad
            assert gradient is not None
            momentum = _load(self, parameter)
            if weight_decay:
                weight.mul_(1.0 - lr * weight_decay)
            weight.add_(torch.lerp(momentum, gradient, 1.0 - self.betas[0]).sign_(), alpha=-lr)
            _store(self, parameter, momentum.lerp_(gradient, 1.0 - self.betas[1]))


class Muon8bit(Muon):
    """Muon (see `muon`), whose momenta are there in full for one stack of matrices at a time."""

    slots: ClassVar[Mapping[str, Callable[[Tensor], Tensor]]] = _SLOTS

    def momenta(self, members: Sequence[NamedParameter]) -> list[Tensor]:
        """The averaged gradients, read from their codes."""
        return [_load(self, parameter) for parameter in members]

    def keep(self, members: Sequence[NamedParameter], momenta: Sequence[Tensor]) -> None:
        """Write the codes."""
        for parameter, momentum in zip(members, momenta, strict=True):
            _store(self, parameter, momentum)


def _load(optimizer: SlotOptimizer, parameter: NamedParameter) -> Tensor:
    slots = optimizer.state()[parameter.name]
    return load(slots["momentum_codes"], slots["momentum_scales"])


def _store(optimizer: SlotOptimizer, parameter: NamedParameter, momentum: Tensor) -> None:
    """Write a momentum, which is overwritten, and count the update."""
    slots = optimizer.state()[parameter.name]
    slots["step"] += 1
    count = int(slots["step"])
    store(momentum, slots["momentum_codes"], slots["momentum_scales"], name=parameter.name, count=count)


def build_lion_8bit(config: Lion8bitConfig, *, parameters: Sequence[NamedParameter]) -> Lion8bit:
    """Factory of `lion_8bit`."""
    return Lion8bit(config, parameters)


def build_muon_8bit(config: Muon8bitConfig, *, parameters: Sequence[NamedParameter]) -> Muon8bit:
    """Factory of `muon_8bit`."""
    return Muon8bit(config, parameters)
