"""`train.max_hours`: as many steps as fit into a time.

The schedules need the number of steps, and nobody knows it before steps have been timed. So the first ones, in the warm-up
as a rule, are taken as those of a run without end; then the number is fixed once and for all and written to
events.jsonl, from where every later attempt takes it: a run that is resumed, from whichever checkpoint, takes the steps
that the uninterrupted one would have taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from nanochat_framework.config.run_config import OPEN_END
from nanochat_framework.contracts.callback import Callback
from nanochat_framework.runs.events import is_count
from nanochat_framework.training.trainer import StepResult, Trainer

UNTIMED_STEPS = 2
"""Steps at the start of an attempt that are not typical: compilation, cold caches."""
TIMED_STEPS = 10
TIMED_SHARE = 0.02
"""The number of steps is fixed when so many were timed, and took this share of the whole time."""
MARGIN = 0.98
"""Share of the time left that is planned for; the machine may become a little slower."""


@dataclass(frozen=True)
class Fixed:
    """What was decided: from step `at` on the schedules end at `total_steps`.

    `end` is the last step where that is known for good: time ran out there, or the run has been to its end before.
    """

    at: int
    total_steps: int
    end: int | None = None


def fixed_before(events: Iterable[Mapping[str, Any]]) -> Fixed | None:
    """What earlier attempts decided."""
    fixed = None
    for event in events:
        kind, step, total = event.get("kind"), event.get("step"), event.get("total_steps")
        if not is_count(step):
            continue
        if kind == "steps_fixed" and is_count(total):
            known = fixed or Fixed(step, total)
            fixed = replace(known, end=step if event.get("out_of_time") is True else None)
        elif kind == "finished" and fixed is not None:
            fixed = replace(fixed, end=step)
    return fixed


class TimeLimitCallback(Callback):
    """Fixes the number of steps, and ends the run before its time is over.

    Time is counted while steps are taken, evaluations and checkpoints included, over all attempts; pauses are left out.
    """

    priority = 3  # before whatever asks if this step was the last
    essential = True

    def __init__(self, max_hours: float, fixed: Fixed | None) -> None:
        self.limit = 3600.0 * max_hours
        self.fixed = fixed
        self._earlier = 0.0  # seconds, of the attempts before this one
        self._began = self._stepped = 0.0
        self._interlude = 0.0  # the longest time between two steps: an evaluation, a checkpoint
        self._timed_from: tuple[int, float] | None = None

    def on_start(self, trainer: Trainer) -> None:
        """Start the clock; take over what is decided."""
        self._clock = trainer.clock
        self._began = self._stepped = self._clock()
        self._timed_from = None
        self._untimed_until = trainer.step + UNTIMED_STEPS
        self._apply(trainer)

    def before_step(self, trainer: Trainer) -> None:
        """See how long evaluation and checkpoint took."""
        self._interlude = max(self._interlude, self._clock() - self._stepped)

    def after_step(self, trainer: Trainer, result: StepResult) -> None:
        """Time the step, decide when enough have been timed, and see whether there is time for another."""
        self._stepped = self._clock()
        used, interlude = trainer.world.agreed([self._seconds(), self._interlude])
        if self._timed_from is None and result.step >= self._untimed_until:
            self._timed_from = result.step, used
        pace = self._pace(result.step, used)
        left = self.limit - used - interlude
        if self.fixed is None and pace is not None:
            self._decide(trainer, result.step + max(1, int(MARGIN * left / pace)))
        self._apply(trainer)
        known_end = self.fixed is not None and self.fixed.end is not None
        if not known_end and not trainer.finished and left < (pace or used / result.step):
            self._end_early(trainer)

    def _seconds(self) -> float:
        return self._earlier + self._clock() - self._began

    def _pace(self, step: int, used: float) -> float | None:
        """Seconds that a step takes; None until enough were timed."""
        if self._timed_from is None:
            return None
        steps, seconds = step - self._timed_from[0], used - self._timed_from[1]
        if steps < TIMED_STEPS or seconds < TIMED_SHARE * self.limit:
            return None
        return seconds / steps

    def _decide(self, trainer: Trainer, total_steps: int) -> None:
        self.fixed = Fixed(trainer.step, min(total_steps, OPEN_END))
        trainer.events.write("steps_fixed", step=trainer.step, total_steps=self.fixed.total_steps)

    def _end_early(self, trainer: Trainer) -> None:
        """This step is the last: one more would not end in time."""
        fixed = self.fixed or Fixed(trainer.step, trainer.step)
        self.fixed = replace(fixed, end=trainer.step)
        trainer.events.write("steps_fixed", step=trainer.step, total_steps=trainer.step, out_of_time=True)
        self._apply(trainer)

    def _apply(self, trainer: Trainer) -> None:
        """From the step of the decision on, the run has an end; before it, on the way there again, it has none."""
        if self.fixed is not None and trainer.step >= self.fixed.at and trainer.total_steps != self._last_step():
            trainer.total_steps = self._last_step()
            trainer.module.optimizers.schedule_over(self.fixed.total_steps)

    def _last_step(self) -> int | None:
        return None if self.fixed is None else (self.fixed.end or self.fixed.total_steps)

    def state(self) -> dict[str, Any]:
        """Time used so far, in seconds, and what is decided."""
        return {"seconds": self._seconds(), "fixed": None if self.fixed is None else asdict(self.fixed)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on counting; what the run's events say is decided goes before what the checkpoint knew."""
        self._earlier = float(state["seconds"])
        if self.fixed is None and state["fixed"] is not None:
            self.fixed = Fixed(**state["fixed"])
