"""What other processes ask of a training through control.jsonl: read at every step boundary, answered in events.jsonl.

Process 0 reads; the others are told, so all do the same after the same step. What `set` changed is applied again, at the
same step, by every later attempt: the events are the truth, so a killed and resumed run takes the steps that it would
have taken.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from nanochat_framework.contracts.callback import Callback
from nanochat_framework.errors import NanochatError
from nanochat_framework.runs.control import Change, ControlInbox, Refused, Request, changes, parse
from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.jsonlines import Record, read
from nanochat_framework.runs.status import State, StatusFile
from nanochat_framework.training.builtin_callbacks import EvaluationCallback
from nanochat_framework.training.live_settings import LiveSettings
from nanochat_framework.training.run_callbacks import CheckpointCallback, SignalCallback, progress
from nanochat_framework.training.samples import SampleCallback
from nanochat_framework.training.trainer import StepResult, Trainer

POLL_SECONDS = 0.1
"""How often a paused run looks for requests."""


class ControlCallback(Callback):
    """Carries requests out, in their order, after everything else that a step brings (metrics, evaluation, checkpoint)."""

    priority = 1010
    essential = True

    def __init__(
        self,
        run: RunDirectory,
        inbox: ControlInbox | None,
        settings: LiveSettings,
        *,
        signals: SignalCallback,
        evaluation: EvaluationCallback,
        checkpoints: CheckpointCallback,
        samples: SampleCallback | None,
        status: StatusFile | None,
        say: Callable[[str], None],
    ) -> None:
        """`inbox` and `status` are process 0's, the others have none; `say` tells the person at the terminal."""
        self.run, self.inbox, self.settings, self.status = run, inbox, settings, status
        self.signals, self.evaluation, self.checkpoints, self.samples = signals, evaluation, checkpoints, samples
        self._say = say
        self._to_come: list[Change] = []
        self._paused = False

    def on_start(self, trainer: Trainer) -> None:
        """Take over what earlier attempts were set to, and what was set while there was none."""
        recorded = trainer.world.from_main(lambda: changes(read(self.run.events)))
        self._to_come = [Change(*change) for change in recorded]
        self._repeat(trainer)
        earlier = trainer.world.from_main(lambda: self.inbox.earlier if self.inbox else [])
        for record in earlier:
            self._answer(trainer, record, only_set=True)

    def after_step(self, trainer: Trainer, result: StepResult) -> None:
        """Do what is asked; while the run is paused, wait here."""
        self._repeat(trainer)
        self._answer_new(trainer)
        if self._paused and trainer.stop_reason is None:
            self._hold(trainer)
        if trainer.stop_reason is not None:
            self.checkpoints.save(trainer)

    def on_end(self, trainer: Trainer, error: BaseException | None) -> None:
        """Refuse what came too late; after an error nobody knows what the other processes do, so it stays unanswered."""
        if error is None:
            for record in [] if self.inbox is None else self.inbox.poll():
                self._refuse(trainer, record, f"the run has ended after step {trainer.step}")

    def _hold(self, trainer: Trainer) -> None:
        """Wait at the step's boundary, and answer, until somebody says to go on or to stop."""
        began = time.monotonic()
        while self._paused and trainer.stop_reason is None:
            time.sleep(POLL_SECONDS)
            self.signals.look(trainer)
            self._answer_new(trainer)
        trainer.paused_seconds += time.monotonic() - began

    def _show(self, trainer: Trainer, state: State, narration: str) -> None:
        if self.status is not None:
            self.status.update(state=state, **progress(trainer))
            self._say(narration)

    def _repeat(self, trainer: Trainer) -> None:
        """Apply what earlier attempts set for the steps from here on."""
        while self._to_come and self._to_come[0].step <= trainer.step:
            change = self._to_come.pop(0)
            self._apply(trainer, change.key, change.value)

    def _apply(self, trainer: Trainer, key: str, value: float) -> None:
        self.settings.change(key, value)
        trainer.module.optimizers.lr_scale = self.settings.lr_scale

    def _answer_new(self, trainer: Trainer) -> None:
        records = self.inbox.poll() if self.inbox is not None else []
        if trainer.world.largest(len(records)):
            for record in trainer.world.agreed(records):
                self._answer(trainer, record)

    def _answer(self, trainer: Trainer, record: Record, *, only_set: bool = False) -> None:
        """Carry one request out, or say why not."""
        try:
            request = parse(record)
            if only_set and request.command != "set":
                raise Refused(f"{request.command}: sent before attempt {trainer.events.attempt} began")
            self._check(trainer, request)
        except Refused as error:
            self._refuse(trainer, record, str(error))
            return
        self._write(trainer, request, "accepted")
        try:
            facts = getattr(self, f"_{request.command}")(trainer, request)
        except NanochatError as error:
            self._write(trainer, request, "failed", reason=str(error))
        else:
            self._write(trainer, request, "done", **facts)

    def _refuse(self, trainer: Trainer, record: Record, reason: str) -> None:
        head = {key: record.get(key) for key in ("id", "command", "by")}
        trainer.events.write("acknowledged", **head, answer="refused", reason=reason, step=trainer.step)

    def _write(self, trainer: Trainer, request: Request, answer: str, **facts: Any) -> None:
        head = {"id": request.id, "command": request.command, "by": dict(request.by)}
        trainer.events.write("acknowledged", **head, answer=answer, step=trainer.step, **facts)

    def _check(self, trainer: Trainer, request: Request) -> None:
        """Raises Refused where the run cannot do it now."""
        command = request.command
        if command in ("pause", "unpause", "set") and (trainer.finished or trainer.stop_reason is not None):
            raise Refused(f"{command}: the run ends with step {trainer.step}")
        if command == "unpause" and not self._paused:
            raise Refused("unpause: the run is not paused")
        if command == "eval" and trainer.held_out is None:
            raise Refused("eval: the run has no held-out data")
        if command == "sample" and self.samples is None:
            raise Refused("sample: the run has no [sample] prompts")

    def _pause(self, trainer: Trainer, request: Request) -> Mapping[str, Any]:
        if not request.arguments.get("release"):
            if not self._paused:
                self._show(trainer, "paused", f"paused after step {trainer.step} by {request.sender}")
            self._paused = True
            return {}
        name = self.checkpoints.save(trainer)
        trainer.request_stop(f"pause --release of {request.sender}", state="released")
        return {"checkpoint": name}

    def _unpause(self, trainer: Trainer, request: Request) -> Mapping[str, Any]:
        self._paused = False
        self._show(trainer, "running", f"going on after step {trainer.step}")
        return {}

    def _stop(self, trainer: Trainer, request: Request) -> Mapping[str, Any]:
        name = self.checkpoints.save(trainer)  # if it cannot be written nothing is given up: the training goes on
        self._show(trainer, "stopping", f"stopping after step {trainer.step}")
        trainer.request_stop(f"stop of {request.sender}")
        return {"checkpoint": name}

    def _checkpoint(self, trainer: Trainer, request: Request) -> Mapping[str, Any]:
        return {"checkpoint": self.checkpoints.save(trainer)}

    def _eval(self, trainer: Trainer, request: Request) -> Mapping[str, Any]:
        scores = self.evaluation.evaluate(trainer)
        self.checkpoints.keep_best(trainer)
        return {"scores": scores}

    def _sample(self, trainer: Trainer, request: Request) -> Mapping[str, Any]:
        assert self.samples is not None, "checked"
        if not trainer.world.is_main:
            return {}
        return {"n_samples": self.samples.write(trainer)}

    def _set(self, trainer: Trainer, request: Request) -> Mapping[str, Any]:
        settings = dict(request.arguments)
        trainer.events.write("set", id=request.id, by=dict(request.by), step=trainer.step, settings=settings)
        self._to_come = [change for change in self._to_come if change.key not in settings]
        for key, value in settings.items():
            self._apply(trainer, key, value)
        return {"settings": settings}
