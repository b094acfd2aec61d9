"""Contract of a callback: everything optional that happens beside the training loop.

::

    class LossAlarm(Callback):
        def __init__(self, config: LossAlarmConfig) -> None:
            self.limit = config.limit

        def after_step(self, trainer: Trainer, result: StepResult) -> None:
            if result.losses["loss"] > self.limit:  # nats per token
                trainer.request_stop(f"the loss is above {self.limit}")

and `[[callback]] name = "vendor/loss_alarm"` in the TOML file. What needs neither settings, nor state, nor the model is
simpler as an event hook (`plugins.api`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nanochat_framework.training.trainer import StepResult, Trainer


class Callback:
    """Called by the trainer at fixed points; each method may be left out. Factory: `build(config)`.

    Callbacks run in order of `priority`, lowest first: ours log at 10 and evaluate at 30; at 1000 they write the
    checkpoint, then answer requests and write the status. So below 1000 a callback has seen step k when checkpoint k takes
    its `state`, and an end that it asks for after step k comes with a checkpoint of step k.

    What `state` returns (plain JSON data) is in every checkpoint and comes back through `load_state` on resume, before
    `on_start`. Where several processes train together each has its own callbacks, and the checkpoint has the state of
    process 0's, which all get back; `trainer.world.is_main` is true in that one.

    What a callback raises does not stop the training: it is told in a line on stderr and in events.jsonl
    (`callback_error`), and after three errors the callback is switched off until the next start. Two things do stop it: a
    UsageError in `on_start`, which says that the settings cannot be met, and any error of a callback that is `essential`.
    A callback that wants an end asks for it with `trainer.request_stop`.
    """

    priority: int = 100
    """Place in the order of callbacks; lowest first."""
    essential: bool = False
    """Whether a training without it is worth nothing, so that its errors stop the training: as for checkpoints."""

    def on_start(self, trainer: Trainer) -> None:
        """Before the first step of this attempt; the trainer is complete and, on resume, restored.

        `trainer.module.model` is the model, `trainer.step` the steps taken, `trainer.total_steps` all of them.
        """

    def before_step(self, trainer: Trainer) -> None:
        """Before step `trainer.step + 1`."""

    def after_step(self, trainer: Trainer, result: StepResult) -> None:
        """After step `result.step`, its weights updated: `result.losses` has the means by name, in nats per token."""

    def after_evaluation(self, trainer: Trainer, scores: dict[str, float]) -> None:
        """After held-out evaluation, with its metrics by name (`eval/loss`, nats per token, ...)."""

    def after_samples(self, trainer: Trainer, samples: list[dict[str, Any]]) -> None:
        """After texts were sampled (`[sample]`): `prompt`, `text` and more of each; in process 0 only."""

    def after_checkpoint(self, trainer: Trainer, name: str) -> None:
        """After a checkpoint was written and renamed: the folder `checkpoints/<name>` of the run is whole."""

    def on_end(self, trainer: Trainer, error: BaseException | None) -> None:
        """After the last step, or when an error ends the run; `error` is None where it ended as it should."""

    def state(self) -> dict[str, Any]:
        """What a resume needs, as plain JSON data."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take back what `state` returned."""
