"""An optimizer that changes nothing and writes down the hyperparameters of every update."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import Field

from nanochat_framework.config.component import ComponentConfig, scheduled
from nanochat_framework.contracts.optimizer import NamedParameter, Optimizer, OptimizerState


class RecorderConfig(ComponentConfig):
    """Where to write, and two hyperparameters that may follow schedules."""

    path: Path = Field(description="File that gets one JSON line an update.")
    lr: float = scheduled("Learning rate.", default=0.5)
    momentum: float = scheduled("Another hyperparameter.", default=0.8)


class Recorder(Optimizer):
    """Has no state."""

    def __init__(self, config: RecorderConfig, parameters: Sequence[NamedParameter]) -> None:
        super().__init__(parameters)
        self.path = config.path

    def step(self, hyperparameters: Mapping[str, float]) -> None:
        """Write a line."""
        with self.path.open("a") as file:
            print(json.dumps(dict(hyperparameters)), file=file)

    def state(self) -> OptimizerState:
        """Nothing."""
        return {}

    def load_state(self, state: OptimizerState) -> None:
        """Nothing to take back."""


def build_recorder(config: RecorderConfig, *, parameters: Sequence[NamedParameter]) -> Recorder:
    """Factory."""
    return Recorder(config, parameters)
