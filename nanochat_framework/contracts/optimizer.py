"""Contract of an update rule.

::

    class HeavyBall(Optimizer):
        def __init__(self, config: Rate, *, parameters: Sequence[NamedParameter]) -> None:
            super().__init__(parameters)
            self._state = {p.name: {"velocity": torch.zeros_like(p.tensor)} for p in parameters}

        @torch.no_grad()
        def step(self, hyperparameters):
            for p in self.parameters:
                if p.tensor.grad is not None:
                    velocity = self._state[p.name]["velocity"].mul_(0.9).add_(p.tensor.grad)
                    p.tensor.sub_(hyperparameters["lr"] * velocity)

        def state(self):
            return self._state

        @torch.no_grad()
        def load_state(self, state):
            for name, own in self._state.items():
                given = state.get(name, {}).get("velocity", torch.zeros_like(own["velocity"]))
                if given.shape != own["velocity"].shape:
                    raise ValueError(f"{name}/velocity: the state is {tuple(given.shape)}")
                own["velocity"].copy_(given)

where `Rate` is a `ComponentConfig` with `lr: float = scheduled("Learning rate: ...", default=1e-2, ge=0)`. One that takes
matrices only says so there, `tensor_dimensions: ClassVar[tuple[int, ...]] = (2,)`, and a configuration that hands it others is
refused before anything is built.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

OptimizerState = dict[str, dict[str, Tensor]]
"""Parameter name -> slot name -> tensor. Addressed by name, so it survives regrouping and resharding."""


@dataclass(frozen=True)
class NamedParameter:
    """A parameter with its full name and role.

    The rows of an attention's map belong to `heads` heads, in order and in equal parts; 1 where they belong to none.
    """

    name: str
    role: str
    tensor: nn.Parameter
    heads: int = 1


class Optimizer(ABC):
    """Updates the parameters of one group. Factory: `build(config, *, parameters: Sequence[NamedParameter])`.

    Weights and gradients are float32, on the device of training; gradients are complete (summed over micro-batches and
    processes, clipped) when `step` is called, once for each step of training that is not skipped. `state` is read for each
    checkpoint, `load_state` called before the first step of a resumed run.

    Which hyperparameters schedules may scale is declared in the configuration (`config.component.scheduled`); their
    values arrive with every step, as plain floats, already scaled.
    """

    def __init__(self, parameters: Sequence[NamedParameter]) -> None:
        self.parameters = tuple(parameters)

    @abstractmethod
    def step(self, hyperparameters: Mapping[str, float]) -> None:
        """Apply one update from the parameters' `.grad` (None: the parameter is left alone), in place, without autograd.

        Args:
            hyperparameters: the value for this step of every scheduled field (`lr`, `momentum`, ...).
        """

    @abstractmethod
    def state(self) -> OptimizerState:
        """The live state tensors, by parameter and slot; complete after the first step, empty slots may be missing."""

    @abstractmethod
    def load_state(self, state: OptimizerState) -> None:
        """Continue from a state; parameters of this group that it lacks start fresh. Raises ValueError on wrong shapes."""
