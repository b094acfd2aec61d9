"""State of one or more tensors ("slots") for each parameter, addressed by the parameter's name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from nanochat_framework.contracts.optimizer import NamedParameter, Optimizer, OptimizerState


class SlotOptimizer(Optimizer):
    """An update rule whose state is a fixed set of slots, made at once and starting at zero.

    Made at once, so that a checkpoint of any step holds every slot, and what one lacks is known to be missing.
    """

    def __init__(self, parameters: Sequence[NamedParameter], slots: Mapping[str, Callable[[Tensor], Tensor]]) -> None:
        """`slots` maps a slot's name to a function that makes its zeros for a weight."""
        super().__init__(parameters)
        self._state: OptimizerState = {
            parameter.name: {slot: zeros(parameter.tensor.detach()) for slot, zeros in slots.items()}
            for parameter in self.parameters
        }

    def slot(self, parameters: Sequence[NamedParameter], slot: str) -> list[Tensor]:
        """One slot of some parameters, in their order."""
        return [self._state[parameter.name][slot] for parameter in parameters]

    def with_gradients(self) -> list[NamedParameter]:
        """The parameters that have a gradient this step."""
        return [parameter for parameter in self.parameters if parameter.tensor.grad is not None]

    def state(self) -> OptimizerState:
        """The live tensors, by parameter and slot."""
        return self._state

    @torch.no_grad()
    def load_state(self, state: OptimizerState) -> None:
        """Continue from a state; parameters that it lacks start fresh. Raises ValueError where slots do not fit."""
        for name, own in self._state.items():
            given = state.get(name)
            if given is not None and set(given) != set(own):
                raise ValueError(f"{name}: the state has {_listed(given)}, this optimizer keeps {_listed(own)}")
            for slot, tensor in own.items():
                if given is None:
                    tensor.zero_()
                    continue
                if given[slot].shape != tensor.shape:
                    raise ValueError(
                        f"{name}/{slot}: the state is {tuple(given[slot].shape)}, the parameter needs "
                        f"{tuple(tensor.shape)}"
                    )
                tensor.copy_(given[slot])


def _listed(slots: Mapping[str, Tensor]) -> str:
    return ", ".join(sorted(slots)) or "nothing"


def like_weight(weight: Tensor) -> Tensor:
    """Float32 zeros in the shape of a weight, on its device."""
    return torch.zeros_like(weight, dtype=torch.float32, memory_format=torch.contiguous_format)


def counter(weight: Tensor) -> Tensor:
    """A count of updates: () float32, exact up to 16 million."""
    return torch.zeros((), dtype=torch.float32, device=weight.device)


def shape_of(parameter: NamedParameter) -> tuple[int, ...]:
    """The shape of a weight."""
    return tuple(parameter.tensor.shape)


def weights_of(parameters: Sequence[NamedParameter]) -> list[Tensor]:
    """The weights, in order."""
    return [parameter.tensor for parameter in parameters]


def gradients_of(parameters: Sequence[NamedParameter]) -> list[Tensor]:
    """The gradients of parameters that have one, in order."""
    gradients = [parameter.tensor.grad for parameter in parameters]
    return [gradient for gradient in gradients if gradient is not None]
