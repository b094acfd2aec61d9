"""The loop. It owns the order of things and nothing else; whatever is optional is a callback."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, Literal

from nanochat_framework.contracts.callback import Callback
from nanochat_framework.data.loader import PrefetchLoader
from nanochat_framework.errors import NanochatError
from nanochat_framework.plugins.guard import Report
from nanochat_framework.runs.atomic import system_reason
from nanochat_framework.runs.checkpoint_store import step_name
from nanochat_framework.runs.events import EventLog
from nanochat_framework.runs.metrics import MetricsLog
from nanochat_framework.training.callbacks import CallbackList
from nanochat_framework.training.evaluation import HeldOut
from nanochat_framework.training.train_module import StepResult, TrainModule

__all__ = ["CheckpointFailed", "StepResult", "Trainer"]


class CheckpointFailed(NanochatError):
    """A checkpoint's files could not be written; the message says why."""


class Trainer:
    """Drives a `TrainModule` through its steps and tells the callbacks.

    Callbacks may read everything here, write metrics through `log` and events through `events`, ask for an end with
    `request_stop`, and write a checkpoint with `checkpoint`. Where several processes train together each has its own
    callbacks, and these calls are made by all of them or by none: what depends on a clock or a signal is settled with
    `world` first. Logs write in process 0 only. `report` takes the errors of callbacks that are not essential.
    """

    def __init__(
        self,
        module: TrainModule,
        loader: PrefetchLoader,
        *,
        held_out: HeldOut | None,
        metrics: MetricsLog,
        events: EventLog,
        save: Callable[[Trainer], None],
        callbacks: Iterable[Callback],
        report: Report,
        step: int = 0,
        tokens: int = 0,
    ) -> None:
        self.module, self.loader, self.held_out = module, loader, held_out
        self.metrics, self.events, self._save = metrics, events, save
        self.callbacks = CallbackList(callbacks, report)
        self.step, self.tokens = step, tokens
        self.world = module.world
        self.total_steps = module.config.train.steps
        """None until `train.max_hours` has become a number of steps."""
        self.stop_reason: str | None = None
        self.stop_state: Literal["stopped", "released"] = "stopped"
        self.paused_seconds = 0.0
        self.latest: dict[str, float] = {}
        """The newest value of every metric that was logged, and of what the attempt before left in the status."""

    def run(self) -> None:
        """Train to the last step, or until a callback asks for an end."""
        error: BaseException | None = None
        try:
            self.callbacks.call("on_start", self)
            while not self.finished and self.stop_reason is None:
                self.callbacks.call("before_step", self)
                result = self.module.step(self.loader.next(), self.step + 1)
                self.step, self.tokens = result.step, self.tokens + result.tokens
                self.callbacks.call("after_step", self, result)
        except BaseException as raised:
            error = raised
            raise
        finally:
            self.loader.close()
            self.callbacks.call("on_end", self, error)

    def request_stop(self, reason: str, *, state: Literal["stopped", "released"] = "stopped") -> None:
        """End after the present step, in that state of status.json."""
        if self.stop_reason is None:
            self.stop_reason, self.stop_state = reason, state

    def clock(self) -> float:
        """Seconds from some point on, pauses left out: what speeds and limits of time are measured by."""
        return time.monotonic() - self.paused_seconds

    @property
    def finished(self) -> bool:
        """Whether the last step is done."""
        return self.total_steps is not None and self.step >= self.total_steps

    def log(self, metrics: dict[str, float]) -> None:
        """Write one metrics record of the present step."""
        self.latest.update(metrics)
        self.metrics.write(step=self.step, tokens=self.tokens, values=metrics)

    def evaluate(self) -> dict[str, float]:
        """Held-out scores of the present weights; empty without held-out data."""
        scores = self.held_out.score(self.module.model, self.world) if self.held_out else {}
        if scores:
            self.callbacks.call("after_evaluation", self, scores)
        return scores

    def checkpoint(self) -> str:
        """Write a checkpoint of the present step; returns its name.

        Raises CheckpointFailed, in every process, if its files cannot be written.
        """
        name = step_name(self.step)
        failure: tuple[str, Exception] | None = None
        try:
            self._save(self)
        except Exception as error:
            reason = system_reason(error)
            if reason is None:
                raise
            failure = reason, error
        told = self.world.agreed(None if failure is None else failure[0])
        if told is not None:
            raise CheckpointFailed(told) from (None if failure is None else failure[1])
        self.callbacks.call("after_checkpoint", self, name)
        return name

    def state(self) -> dict[str, Any]:
        """What `meta.json` keeps of the loop."""
        return {"step": self.step, "tokens": self.tokens, "callbacks": self.callbacks.state()}
