"""Contract of a schedule: a pure function of the step, torch-free.

::

    class InverseRoot(Schedule):
        def __init__(self, config: NoSettings, *, total_steps: int) -> None:
            super().__init__(total_steps)

        def multiplier(self, step):
            return min(max(step, 1), self.total_steps) ** -0.5
"""

from __future__ import annotations

from abc import ABC, abstractmethod


class Schedule(ABC):
    """A multiplier of a hyperparameter. Factory: `build(config, *, total_steps: int)`, the updates of the whole run.

    Steps are numbered from 1: the first update uses `multiplier(1)`, the last `multiplier(total_steps)`. It holds no
    state, so resuming anywhere needs nothing; past the end it stays at its last value.
    """

    def __init__(self, total_steps: int) -> None:
        self.total_steps = total_steps

    @abstractmethod
    def multiplier(self, step: int) -> float:
        """The multiplier at a step >= 0; finite and non-negative."""
