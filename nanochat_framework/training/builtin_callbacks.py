"""The callbacks that every run has: metrics, evaluation, checkpoints, skipped steps."""

from __future__ import annotations

from typing import Any

from nanochat_framework.contracts.callback import Callback
from nanochat_framework.data.plan import LoaderPlan
from nanochat_framework.errors import NanochatError
from nanochat_framework.runs.metrics import DATA_PHASE
from nanochat_framework.training.live_settings import LiveSettings
from nanochat_framework.training.trainer import StepResult, Trainer
from nanochat_framework.training.utilisation import Utilisation


class MetricsCallback(Callback):
    """Writes the training metrics every `log_every` steps, at the first step and at the last."""

    priority = 10
    essential = True

    def __init__(self, settings: LiveSettings, utilisation: Utilisation | None) -> None:
        """`utilisation`: None where the device's peak is not known."""
        self.settings, self._utilisation = settings, utilisation
        self.skipped_steps = 0
        self.logged_at = 0
        """The step of the last record."""
        self._since = 0.0
        self._tokens = 0

    def on_start(self, trainer: Trainer) -> None:
        """Start the clock."""
        self._since, self._tokens = trainer.clock(), trainer.tokens

    def after_step(self, trainer: Trainer, result: StepResult) -> None:
        """Log when it is due."""
        self.skipped_steps += bool(result.skipped)
        if result.step % self.settings.train_log_every and result.step not in (1, trainer.total_steps):
            return
        self.logged_at = result.step
        now = trainer.clock()
        speed = (trainer.tokens - self._tokens) / max(now - self._since, 1e-9)
        self._since, self._tokens = now, trainer.tokens
        rates = {f"train/learning_rate/{group}": rate for group, rate in result.learning_rates.items()}
        trainer.log(
            {
                **{f"train/{name}": value for name, value in result.losses.items()},
                "train/total_loss": result.total_loss,
                "train/grad_norm": result.grad_norm,
                "train/tokens_per_second": speed,
                **self._share_of_peak(speed, trainer.loader.plan.phase(result.step - 1).seq_len),
                "train/data_wait_seconds": trainer.loader.wait_seconds,
                "train/skipped_steps": self.skipped_steps,
                **({} if result.loss_scale is None else {"train/loss_scale": result.loss_scale}),
                **rates,
                **{f"model/{name}": value for name, value in result.readings.items()},
                **_progress_of_data(trainer.loader.plan, result.step),
            }
        )

    def _share_of_peak(self, tokens_per_second: float, seq_len: int) -> dict[str, float]:
        return {} if self._utilisation is None else {"train/mfu": self._utilisation.share(tokens_per_second, seq_len)}

    def state(self) -> dict[str, Any]:
        """The count of skipped steps."""
        return {"skipped_steps": self.skipped_steps}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on counting."""
        self.skipped_steps = int(state["skipped_steps"])


def _progress_of_data(plan: LoaderPlan, step: int) -> dict[str, float]:
    """Epochs of each source where there are several, the number of the phase where there are several."""
    sources = zip(plan.streams, plan.epochs(step), strict=True) if len(plan.streams) > 1 else ()
    phase = {DATA_PHASE: plan.phases.index(plan.phase(step - 1))} if len(plan.phases) > 1 else {}
    return {**{f"data/epochs/{stream.label}": epochs for stream, epochs in sources}, **phase}


class SkippedStepsCallback(Callback):
    """Reports skipped steps, and fails the run when too many in a row were not finite."""

    priority = 20
    essential = True

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.in_a_row = 0

    def after_step(self, trainer: Trainer, result: StepResult) -> None:
        """Count, report, and give up past the limit. Raises NanochatError."""
        self.in_a_row = self.in_a_row + 1 if result.skipped == "not_finite" else 0
        if not result.skipped:
            return
        trainer.events.write(
            "skipped_step",
            step=result.step,
            reason=result.skipped,
            loss=result.total_loss,
            grad_norm=result.grad_norm,
            loss_scale=result.loss_scale,
        )
        if self.in_a_row > self.limit:
            raise NanochatError(
                f"the loss or gradient was not finite for {self.in_a_row} steps in a row (up to step {result.step}); no "
                f"weight was changed by them. Lower the learning rates, lengthen the warm-up, or look at the data"
            )

    def state(self) -> dict[str, Any]:
        """The present streak."""
        return {"in_a_row": self.in_a_row}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on counting."""
        self.in_a_row = int(state["in_a_row"])


class EvaluationCallback(Callback):
    """Held-out evaluation every `every` steps and after the last; remembers the best loss."""

    priority = 30
    essential = True

    def __init__(self, settings: LiveSettings) -> None:
        self.settings = settings
        self.best_loss: float | None = None
        self.best_step = 0
        self.latest: dict[str, float] = {}
        self.latest_step = 0
        self.improved_at: int | None = None

    def on_start(self, trainer: Trainer) -> None:
        """What the attempt before evaluated last stands until there is something newer."""
        trainer.latest.update(self.latest)

    def after_step(self, trainer: Trainer, result: StepResult) -> None:
        """Evaluate when it is due."""
        every = self.settings.eval_every
        if every and (result.step % every == 0 or trainer.finished):
            self.evaluate(trainer)

    def evaluate(self, trainer: Trainer) -> dict[str, float]:
        """Evaluate, unless that was done after this step already; the scores, empty without held-out data."""
        if self.latest_step == trainer.step:
            return self.latest
        scores = trainer.evaluate()
        if scores:
            self.latest, self.latest_step = scores, trainer.step
            trainer.log(scores)
            trainer.events.write("evaluation", step=trainer.step, **scores)
            if self.best_loss is None or scores["eval/loss"] < self.best_loss:
                self.best_loss, self.best_step = scores["eval/loss"], trainer.step
                self.improved_at = trainer.step
        return scores

    def state(self) -> dict[str, Any]:
        """The best loss so far and its step; the latest scores and theirs."""
        best = {"best_loss": self.best_loss, "best_step": self.best_step}
        return {**best, "latest": self.latest, "latest_step": self.latest_step}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on comparing."""
        self.best_loss, self.best_step, self.latest = state["best_loss"], state["best_step"], state["latest"]
        self.latest_step = state.get("latest_step", 0)
