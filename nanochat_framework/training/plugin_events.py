"""Tells plugins what a training does: the bridge from the trainer to the event hooks (`plugins.api`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pluggy

from nanochat_framework.contracts.callback import Callback
from nanochat_framework.errors import first_line
from nanochat_framework.plugins.api import RunFacts
from nanochat_framework.plugins.guard import Guard, Report
from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.training.trainer import StepResult, Trainer


class PluginEventsCallback(Callback):
    """Calls the event hooks of each plugin under a guard of its own, so that one cannot keep the others from theirs."""

    priority = 8  # a step is told before the evaluation and the checkpoint that follow it
    essential = True  # what the plugins raise never comes so far

    def __init__(self, manager: pluggy.PluginManager, run: RunFacts, report: Report) -> None:
        self._manager, self._run = manager, run
        self._guards = {name: Guard("plugin", name, report) for name, _ in manager.list_name_plugin()}
        self._callers: dict[str, list[tuple[Guard, Any]]] = {}

    def on_start(self, trainer: Trainer) -> None:
        """`nanochat_run_started`."""
        self._tell("nanochat_run_started", step=trainer.step, total_steps=trainer.total_steps)

    def after_step(self, trainer: Trainer, result: StepResult) -> None:
        """`nanochat_step`."""
        if not self._listeners("nanochat_step"):
            return
        metrics = {f"train/{name}": value for name, value in result.losses.items()}
        more = {"train/total_loss": result.total_loss, "train/grad_norm": result.grad_norm}
        self._tell("nanochat_step", step=result.step, tokens=trainer.tokens, metrics={**metrics, **more})

    def after_evaluation(self, trainer: Trainer, scores: dict[str, float]) -> None:
        """`nanochat_evaluated`."""
        self._tell("nanochat_evaluated", step=trainer.step, scores=dict(scores))

    def after_checkpoint(self, trainer: Trainer, name: str) -> None:
        """`nanochat_checkpoint_written`."""
        path = RunDirectory(self._run.folder).checkpoints / name
        self._tell("nanochat_checkpoint_written", step=trainer.step, path=path)

    def on_end(self, trainer: Trainer, error: BaseException | None) -> None:
        """`nanochat_run_ended`."""
        stopped = isinstance(error, KeyboardInterrupt) or (error is None and not trainer.finished)
        state = "stopped" if stopped else "finished" if error is None else "failed"
        why = first_line(error) if error is not None and state == "failed" else None
        self._tell("nanochat_run_ended", step=trainer.step, state=state, error=why)

    def _tell(self, hook: str, **facts: Any) -> None:
        for guard, call in self._listeners(hook):
            guard.call(hook, call, run=self._run, **facts)

    def _listeners(self, hook: str) -> list[tuple[Guard, Any]]:
        """The plugins that implement a hook, each with what calls its own alone."""
        if hook not in self._callers:
            plugins: Mapping[str, Any] = dict(self._manager.list_name_plugin())
            own = {impl.plugin_name for impl in getattr(self._manager.hook, hook).get_hookimpls()}
            self._callers[hook] = [
                (
                    self._guards[name],
                    self._manager.subset_hook_caller(hook, [p for p in plugins.values() if p is not plugin]),
                )
                for name, plugin in plugins.items()
                if name in own
            ]
        return self._callers[hook]
