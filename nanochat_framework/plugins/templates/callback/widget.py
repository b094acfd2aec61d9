"""How long the weights are, and how far they went since the last measurement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from nanochat_framework.contracts.callback import Callback
from nanochat_framework.model.parameters import named_parameters

from .config import WidgetConfig

if TYPE_CHECKING:
    from nanochat_framework.training.trainer import StepResult, Trainer


class WidgetCallback(Callback):
    """Logs `weights/norm/<role>`, the L2 norm of all weights of a role, and their largest so far.

    Every method of `Callback` may be left out; `nanochat_framework.contracts.callback` has them all.
    """

    def __init__(self, config: WidgetConfig) -> None:
        self.every = config.every
        self.largest: dict[str, float] = {}

    def after_step(self, trainer: Trainer, result: StepResult) -> None:
        """Measure when it is due, and at the last step."""
        if result.step % self.every and not trainer.finished:
            return
        norms = self.measure(trainer.module.model)
        for role, norm in norms.items():
            self.largest[role] = max(norm, self.largest.get(role, 0.0))
        trainer.log({f"weights/norm/{role}": norm for role, norm in norms.items()})
        trainer.log({f"weights/largest_norm/{role}": norm for role, norm in self.largest.items()})

    @torch.no_grad()
    def measure(self, model: torch.nn.Module) -> dict[str, float]:
        """L2 norms by role."""
        squares: dict[str, float] = {}
        for parameter in named_parameters(model):
            squares[parameter.role] = squares.get(parameter.role, 0.0) + parameter.tensor.square().sum().item()
        return {role: square**0.5 for role, square in squares.items()}

    def state(self) -> dict[str, Any]:
        """What a resume needs, as plain JSON data: every checkpoint holds it."""
        return {"largest": self.largest}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take it back."""
        self.largest = dict(state["largest"])


def build(config: WidgetConfig) -> WidgetCallback:
    """Factory of acme/widget."""
    return WidgetCallback(config)
