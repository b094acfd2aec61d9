"""Contract of a callback: everything optional that happens beside the training loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nanochat_framework.training.trainer import StepResult, Trainer


class Callback:
    """Called by the trainer at fixed points; each method may be left out. Factory: `build(config)`.

    Callbacks run in order of `priority`, lowest first. What `state` returns (plain JSON data) is in every checkpoint
    and comes back through `load_state` on resume.
    """

    priority: int = 100

    def on_start(self, trainer: Trainer) -> None:
        """Before the first step of this attempt; the trainer is complete and, on resume, restored."""

    def before_step(self, trainer: Trainer) -> None:
        """Before step `trainer.step + 1`."""

    def after_step(self, trainer: Trainer, result: StepResult) -> None:
        """After step `result.step`."""

    def after_evaluation(self, trainer: Trainer, scores: dict[str, float]) -> None:
        """After held-out evaluation, with its metrics."""

    def after_samples(self, trainer: Trainer, samples: list[dict[str, Any]]) -> None:
        """After texts were sampled (`[sample]`): `prompt`, `text` and more of each; in process 0 only."""

    def after_checkpoint(self, trainer: Trainer, name: str) -> None:
        """After a checkpoint was written and renamed."""

    def on_end(self, trainer: Trainer, error: BaseException | None) -> None:
        """After the last step, or when an error ends the run."""

    def state(self) -> dict[str, Any]:
        """What a resume needs, as plain JSON data."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take back what `state` returned."""
