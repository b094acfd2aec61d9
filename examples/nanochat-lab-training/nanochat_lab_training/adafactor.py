"""Adafactor (Shazeer & Stern 2018, arXiv 1804.04235) without momentum.

The average of the squared gradient, as large as the weight in Adam, is kept as its row and column means; their outer
product over the mean of all stands for it (section 3). A weight of 4096 × 4096 has 8192 numbers of state, not 33 million.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from nanochat_framework.contracts.optimizer import NamedParameter, Optimizer, OptimizerState

from .config import AdafactorConfig

EPSILON = torch.finfo(torch.float32).eps
Slots = dict[str, Tensor]


class Adafactor(Optimizer):
    """w ← w · (1 - lr · weight_decay) - min(lr, 1/√t) · max(rms(w), smallest_scale) · u / max(1, rms(u) / clip).

    u = g / √V̂, with V̂ from averages to which step t adds a share of t^beta2_decay (sections 6 to 8 of the paper).
    """

    def __init__(self, config: AdafactorConfig, parameters: Sequence[NamedParameter]) -> None:
        super().__init__(parameters)
        self.config = config
        # State goes by parameter name. All of it exists from the start, so that a checkpoint of any step has it all.
        self._state: OptimizerState = {p.name: _fresh(p.tensor.detach()) for p in parameters}

    @torch.no_grad()
    def step(self, hyperparameters: Mapping[str, float]) -> None:
        """One update in place, from `.grad`; a parameter without one is left alone."""
        lr, decay = hyperparameters["lr"], hyperparameters["weight_decay"]
        for parameter in self.parameters:
            weight, gradient = parameter.tensor, parameter.tensor.grad
            if gradient is None:
                continue
            slots = self._state[parameter.name]
            slots["step"] += 1
            step = slots["step"].item()
            update = gradient * _squares(slots, gradient, step**self.config.beta2_decay).rsqrt_()
            size = max(self.config.smallest_scale, _rms(weight)) * min(lr, step**-0.5)
            weight.mul_(1.0 - lr * decay)
            weight.add_(update, alpha=-size / max(1.0, _rms(update) / self.config.clip))

    def state(self) -> OptimizerState:
        """The live tensors."""
        return self._state

    @torch.no_grad()
    def load_state(self, state: OptimizerState) -> None:
        """Continue from a state; parameters that it lacks start fresh. Raises ValueError where it does not fit."""
        for name, slots in self._state.items():
            given = state.get(name)
            for slot, tensor in slots.items():
                if given is None:
                    tensor.zero_()
                elif slot not in given or given[slot].shape != tensor.shape:
                    found = tuple(given[slot].shape) if slot in given else "missing"
                    raise ValueError(f"{name}/{slot}: the state's is {found}, {tuple(tensor.shape)} is needed")
                else:
                    tensor.copy_(given[slot])


def _fresh(weight: Tensor) -> Slots:
    """Zeros in float32 on the weight's device: (..., rows, 1) and (..., 1, columns), or one as large as a vector."""
    step = weight.new_zeros((), dtype=torch.float32)
    if weight.dim() < 2:
        return {"step": step, "squares": torch.zeros_like(weight, dtype=torch.float32)}
    rows = weight.new_zeros((*weight.shape[:-1], 1), dtype=torch.float32)
    columns = weight.new_zeros((*weight.shape[:-2], 1, weight.shape[-1]), dtype=torch.float32)
    return {"step": step, "rows": rows, "columns": columns}


def _squares(slots: Slots, gradient: Tensor, share: float) -> Tensor:
    """The averages take the gradient in; what they make of the squared gradient, in a new tensor of its shape."""
    if "squares" in slots:
        slots["squares"].lerp_(gradient.square(), share)
        estimate = slots["squares"].clone()
    else:
        rows, columns = slots["rows"], slots["columns"]
        squared = gradient.square()
        rows.lerp_(squared.mean(dim=-1, keepdim=True), share)
        columns.lerp_(squared.mean(dim=-2, keepdim=True), share)
        estimate = rows @ columns / rows.mean(dim=-2, keepdim=True).clamp(min=EPSILON)
    return estimate.clamp_(min=EPSILON**2)


def _rms(tensor: Tensor) -> float:
    """Root of the mean square."""
    return (tensor.square().mean().sqrt()).item()


def build_adafactor(config: AdafactorConfig, *, parameters: Sequence[NamedParameter]) -> Adafactor:
    """Factory: what nanochat calls with the settings and the parameters that `match` chose."""
    return Adafactor(config, parameters)
