"""Gradient descent with momentum (Polyak 1964), the weight decay apart from the gradient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from nanochat_framework.contracts.optimizer import NamedParameter, Optimizer, OptimizerState

from .config import WidgetConfig


class WidgetOptimizer(Optimizer):
    """m ← momentum · m + g; w ← w · (1 - lr · weight_decay) - lr · m."""

    def __init__(self, config: WidgetConfig, parameters: Sequence[NamedParameter]) -> None:
        super().__init__(parameters)
        # State is addressed by the parameter's name, so that a checkpoint survives a change of the groups.
        self._state: OptimizerState = {
            parameter.name: {"momentum": torch.zeros_like(parameter.tensor.detach(), dtype=torch.float32)}
            for parameter in parameters
        }

    @torch.no_grad()
    def step(self, hyperparameters: Mapping[str, float]) -> None:
        """One update in place. `hyperparameters` has the value of each scheduled field at this step."""
        lr, decay = hyperparameters["lr"], hyperparameters["weight_decay"]
        for parameter in self.parameters:
            gradient = parameter.tensor.grad
            if gradient is None:  # nothing reached it: it is left alone, and so is its average
                continue
            average = self._state[parameter.name]["momentum"]
            average.mul_(hyperparameters["momentum"]).add_(gradient)
            parameter.tensor.mul_(1.0 - lr * decay).add_(average, alpha=-lr)

    def state(self) -> OptimizerState:
        """The live tensors, by parameter and slot; a checkpoint writes them as they are."""
        return self._state

    @torch.no_grad()
    def load_state(self, state: OptimizerState) -> None:
        """Continue from a state; parameters that it lacks start fresh. Raises ValueError on wrong shapes."""
        for name, slots in self._state.items():
            given = state.get(name, {}).get("momentum")
            if given is None:
                slots["momentum"].zero_()
            elif given.shape != slots["momentum"].shape:
                raise ValueError(f"{name}: the state is {tuple(given.shape)}, not {tuple(slots['momentum'].shape)}")
            else:
                slots["momentum"].copy_(given)


def build(config: WidgetConfig, *, parameters: Sequence[NamedParameter]) -> WidgetOptimizer:
    """Factory of acme/widget."""
    return WidgetOptimizer(config, parameters)
