"""Settings, in a module of their own: listings and plans read them, and must not wait for torch."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from pydantic import Field

from nanochat_framework.config.component import ComponentConfig, scheduled

FLOAT32 = 4
"""Bytes."""


class AdafactorConfig(ComponentConfig):
    """`[[optimizer]] name = "lab/adafactor"`."""

    # `scheduled` says that [schedule] scales this: its value arrives with every step.
    lr: float = scheduled("Largest step, as a share of the weights' root mean square.", default=0.01, ge=0)
    weight_decay: float = scheduled("Each step takes lr · weight_decay of the weight away.", default=0.0, ge=0)
    beta2_decay: float = Field(
        default=-0.8, lt=0, description="Power of the step number that the new squares count for in their average."
    )
    clip: float = Field(default=1.0, gt=0, description="Largest root mean square of an update before it is scaled.")
    smallest_scale: float = Field(
        default=1e-3, gt=0, description="Weights' root mean square that a step is a share of, at least."
    )

    def state_bytes(self, shapes: Sequence[tuple[int, ...]]) -> int:
        """What `nanochat plan` counts: a row and a column for a matrix, the whole for a vector, a count for each."""
        total = 0
        for shape in shapes:
            factored = prod(shape[:-1]) + prod(shape[:-2]) * shape[-1] if len(shape) > 1 else prod(shape)
            total += FLOAT32 * (factored + 1)
        return total

    def workspace_bytes(self, shapes: Sequence[tuple[int, ...]]) -> int:
        """One update at full size, of the largest parameter."""
        return FLOAT32 * max(map(prod, shapes), default=0)


class NpzConfig(ComponentConfig):
    """`nanochat export MODEL --to lab/npz --option key=value`."""

    compressed: bool = Field(default=False, description="Whether the arrays are deflated: smaller, and slower to read.")
