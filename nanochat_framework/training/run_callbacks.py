"""Callbacks that tie a training to its run directory and its terminal: signals, checkpoints, status, progress line."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import time
from collections.abc import Callable
from io import TextIOBase
from types import FrameType
from typing import Any, TextIO

from nanochat_framework.contracts.callback import Callback
from nanochat_framework.errors import NanochatError, first_line
from nanochat_framework.runs.atomic import DiskFull, system_reason
from nanochat_framework.runs.checkpoint_store import CheckpointStore, step_name
from nanochat_framework.runs.status import LATEST, State, StatusFile
from nanochat_framework.runs.tracking import Trackers
from nanochat_framework.training.builtin_callbacks import EvaluationCallback
from nanochat_framework.training.live_settings import LiveSettings
from nanochat_framework.training.trainer import CheckpointFailed, StepResult, Trainer

RETRY_SECONDS = 60.0
"""Between two tries to write a checkpoint that could not be written."""
GIVE_UP_SECONDS = 3600.0
"""How long a training goes on that cannot write checkpoints."""
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class SignalCallback(Callback):
    """First SIGINT or SIGTERM: finish the step, checkpoint, stop. Second: abort now."""

    priority = 5
    essential = True

    def __init__(self) -> None:
        self.received: int | None = None
        self._previous: dict[int, Any] = {}
        self._quiet = False

    def on_start(self, trainer: Trainer) -> None:
        """Take the signals over."""
        self._quiet = not trainer.world.is_main
        self._previous = {number: signal.signal(number, self._handle) for number in STOP_SIGNALS}

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            raise KeyboardInterrupt
        self.received = number
        if self._quiet:
            return
        print(f"\n{signal.Signals(number).name}: finishing the step, then checkpointing", file=sys.stderr)

    def after_step(self, trainer: Trainer, result: StepResult) -> None:
        """Ask for the end."""
        self.look(trainer)

    def look(self, trainer: Trainer) -> None:
        """Ask for the end if any process has had a signal."""
        received = int(trainer.world.largest(self.received or 0))
        if received:
            trainer.request_stop(signal.Signals(received).name)

    def on_end(self, trainer: Trainer, error: BaseException | None) -> None:
        """Give the signals back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)


class CheckpointCallback(Callback):
    """Writes checkpoints when they are due, when held-out loss is the best so far, and at the end."""

    priority = 1000  # after every callback that a configuration adds: the checkpoint has their state
    essential = True

    def __init__(
        self,
        store: CheckpointStore,
        settings: LiveSettings,
        *,
        keep_last: int,
        evaluation: EvaluationCallback,
        warn: Callable[[str], None],
    ) -> None:
        """`warn` tells the person what should not wait."""
        self.store, self.settings, self.keep_last, self.evaluation = store, settings, keep_last, evaluation
        self._warn = warn
        self._saved: tuple[int, int, str] | None = None  # of this attempt's newest: step, step of the best, name
        self._failing: tuple[float, float] | None = None  # since when none can be written, when to try again

    def after_step(self, trainer: Trainer, result: StepResult) -> None:
        """Checkpoint when it is due; one that cannot be written is tried again, for a while (docs/decisions/0046)."""
        ends = trainer.finished or trainer.stop_reason is not None
        best = self.evaluation.improved_at == trainer.step
        if ends or best or result.step % self.settings.checkpoint_every == 0 or self._try_again(trainer):
            try:
                self.save(trainer)
                self.keep_best(trainer)
            except CheckpointFailed as error:
                if ends:
                    raise
                self._wait(trainer, error)

    def _try_again(self, trainer: Trainer) -> bool:
        """Whether it is time for another try, in all processes alike."""
        if self._failing is None:
            return False
        return bool(trainer.world.largest(time.monotonic() > self._failing[1]))

    def _wait(self, trainer: Trainer, error: CheckpointFailed) -> None:
        """Go on without a checkpoint, unless that has been so for too long. Raises CheckpointFailed then."""
        now = time.monotonic()
        if self._failing is None:
            if trainer.world.is_main:
                self._warn(f"warning: {error}; training goes on, and it is tried again every {RETRY_SECONDS:.0f} s")
            self._failing = now, now
        seconds = trainer.world.largest(now - self._failing[0])
        if seconds > GIVE_UP_SECONDS:
            raise CheckpointFailed(f"{error}; so it has been for {duration(seconds)}, since when nothing could be kept")
        self._failing = self._failing[0], now + RETRY_SECONDS

    def save(self, trainer: Trainer) -> str:
        """Write a checkpoint, unless there is one of this step already; its name.

        One that was written before this step's evaluation turned out to be the best is written again: else a run that goes
        on from it would not know of it. `best` and `final` are further names of the same files. Raises CheckpointFailed.
        """
        moment = trainer.step, self.evaluation.best_step
        if self._saved is not None and self._saved[:2] == moment:
            return self._saved[2]
        try:
            name = trainer.checkpoint()
        except CheckpointFailed as error:
            raise CheckpointFailed(self._explained(trainer.step, error)) from error
        self._saved, self._failing = (*moment, name), None
        if trainer.world.is_main:
            if trainer.finished:
                self.store.link(name, "final")
            self._tidy(lambda: self.store.prune(self.keep_last))
        return name

    def _tidy(self, action: Callable[[], object]) -> None:
        """Do what may as well be done after the next checkpoint: a folder that cannot be written is a warning."""
        try:
            action()
        except (OSError, NanochatError) as error:
            reason = system_reason(error)
            if reason is None:
                raise
            self._warn(f"warning: {self.store.root}: cannot be written: {reason}")

    def _explained(self, step: int, error: CheckpointFailed) -> str:
        """One line: what could not be written, why, and what there is to go on from."""
        if isinstance(error.__cause__, DiskFull):
            return str(error.__cause__)  # it says so, and how much room is needed
        newest = self.store.latest(report=lambda line: None)
        kept = "there is no earlier checkpoint" if newest is None else f"checkpoint {newest.name} is intact"
        return f"{self.store.root / step_name(step)}: cannot be written: {error}; {kept}"

    def keep_best(self, trainer: Trainer) -> None:
        """If the evaluation of this step is the best so far, checkpoint, and call that `best`."""
        if self.evaluation.improved_at != trainer.step:
            return
        name = self.save(trainer)
        self.evaluation.improved_at = None
        if trainer.world.is_main:
            self._tidy(lambda: self.store.link(name, "best"))


class StatusCallback(Callback):
    """Keeps status.json: the state, the step, a heartbeat at most once a second."""

    priority = 1020
    essential = True

    def __init__(self, status: StatusFile) -> None:
        self.status = status
        self._written = 0.0

    def on_start(self, trainer: Trainer) -> None:
        """Running; what the attempt before said last stands until there is something newer."""
        trainer.latest = {**self.status.status.metrics, **trainer.latest}
        self.status.update(state="running", error=None, **progress(trainer))
        self.status.start_heart()

    def after_step(self, trainer: Trainer, result: StepResult) -> None:
        """A heartbeat."""
        if time.monotonic() - self._written >= 1.0:
            self._written = time.monotonic()
            self.status.update(**progress(trainer))

    def after_checkpoint(self, trainer: Trainer, name: str) -> None:
        """Name the newest checkpoint."""
        self.status.update(latest_checkpoint=name, **progress(trainer))

    def on_end(self, trainer: Trainer, error: BaseException | None) -> None:
        """How it ended."""
        state: State
        if error is None:
            state = "finished" if trainer.finished else trainer.stop_state
        else:
            state = "stopped" if isinstance(error, KeyboardInterrupt) else "failed"
        message = None if error is None else first_line(error)
        self.status.stop_heart()
        self.status.update(state=state, error=message, **progress(trainer))


def progress(trainer: Trainer) -> dict[str, Any]:
    """The facts of a status that change with every step."""
    metrics = {name: trainer.latest[name] for name in LATEST if name in trainer.latest}
    step, total = trainer.step, trainer.total_steps or 0
    return {"step": step, "total_steps": total, "tokens": trainer.tokens, "metrics": metrics}


class ProgressCallback(Callback):
    """One line of progress: rewritten in place on a terminal, a new line every `log_every` steps elsewhere."""

    priority = 1030

    def __init__(self, settings: LiveSettings, stream: TextIO | TextIOBase | None = None) -> None:
        self.settings = settings
        self.stream = stream or sys.stderr
        self.live = self.stream.isatty()
        self._loss: float | None = None
        self._held_out = ""
        self._previous = self._drawn = 0.0
        self._step_seconds: float | None = None
        self._width = 0

    def on_start(self, trainer: Trainer) -> None:
        """Start the clock."""
        self._previous = trainer.clock()

    def after_step(self, trainer: Trainer, result: StepResult) -> None:
        """Draw, at most ten times a second on a terminal."""
        loss = result.losses["loss"]
        self._loss = loss if self._loss is None or result.skipped else 0.9 * self._loss + 0.1 * loss
        last = trainer.finished or trainer.stop_reason is not None
        now = trainer.clock()
        seconds, self._previous = now - self._previous, now
        known = self._step_seconds
        self._step_seconds = seconds if known is None else 0.95 * known + 0.05 * seconds
        if self.live and (last or now - self._drawn > 0.1):
            self._drawn = now
            self._rewrite(self._line(trainer, result.tokens))
        elif not self.live and (last or result.step == 1 or result.step % self.settings.train_log_every == 0):
            print(self._line(trainer, result.tokens), file=self.stream, flush=True)

    def _line(self, trainer: Trainer, step_tokens: int) -> str:
        seconds = max(self._step_seconds or 0.0, 1e-9)  # of a step, by the last twenty or so
        rate, total = step_tokens / seconds, trainer.total_steps
        line = f"loss {self._loss:.4f}{self._held_out}  {rate:,.0f} tokens/s"
        if total is None:
            return f"step {trainer.step}  {line}  (timing the first steps)"
        step, left = f"{trainer.step:>{len(str(total))}}/{total}", duration((total - trainer.step) * seconds)
        return f"step {step} {trainer.step / total:4.0%}  {line}  {left} left"

    def after_evaluation(self, trainer: Trainer, scores: dict[str, float]) -> None:
        """Show held-out scores in the line from now on."""
        bits = scores.get("eval/bits_per_byte")
        shown = f"{scores['eval/loss']:.4f}" + (f" ({bits:.3f} bits/byte)" if bits is not None else "")
        self._held_out = f"  held-out {shown}"

    def after_samples(self, trainer: Trainer, samples: list[dict[str, Any]]) -> None:
        """Show what the model wrote, a line each; the progress line comes again below."""
        columns = shutil.get_terminal_size().columns - 1 if self.live else 200
        for sample in samples:
            text = f"sample {sample['prompt_index'] + 1}: {json.dumps(sample['prompt'] + sample['text'], ensure_ascii=False)}"
            cut = text if len(text) <= columns else f"{text[: columns - 3]}..."
            self.say(cut)

    def after_checkpoint(self, trainer: Trainer, name: str) -> None:
        """Say what was written, above the line."""
        self._above(f"checkpoint {name}")

    def on_end(self, trainer: Trainer, error: BaseException | None) -> None:
        """Leave the last line standing."""
        if self.live and self._width:
            print(file=self.stream, flush=True)

    def say(self, text: str) -> None:
        """A line of its own; on a terminal the progress line comes again below."""
        erased = f"\r{' ' * self._width}\r" if self.live else ""
        print(f"{erased}{text}", file=self.stream, flush=True)

    def _rewrite(self, line: str) -> None:
        padding = " " * max(self._width - len(line), 0)
        self._width = len(line)
        print(f"\r{line}{padding}", end="", file=self.stream, flush=True)

    def _above(self, text: str) -> None:
        if not self.live:
            print(text, file=self.stream, flush=True)


class TrackerCallback(Callback):
    """Hands texts to the run's trackers; metrics and events reach them through their logs."""

    def __init__(self, trackers: Trackers) -> None:
        self.trackers = trackers

    def after_samples(self, trainer: Trainer, samples: list[dict[str, Any]]) -> None:
        """Pass them on."""
        self.trackers.samples(trainer.step, samples)


def duration(seconds: float) -> str:
    """`1h02m`, `3m05s` or `12s`."""
    whole = int(seconds + 0.5)
    if whole >= 3600:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    if whole >= 60:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole}s"
