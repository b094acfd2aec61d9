"""Broken parts of the training: optimizers, schedules, terms of the loss, callbacks, trackers, evaluations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from nanochat_framework.contracts.callback import Callback
from nanochat_framework.contracts.evaluation import Evaluation, Score, Subject
from nanochat_framework.contracts.model import LanguageModel
from nanochat_framework.contracts.objective import HeadChunk, TokenFilter
from nanochat_framework.contracts.optimizer import NamedParameter, OptimizerState
from nanochat_framework.contracts.schedule import Schedule
from nanochat_framework.contracts.tracker import TrackedRun, Tracker
from nanochat_objectives.z_loss import ZLoss
from nanochat_optimizers.lion import Lion
from tests.testing.mutants.configs import Nothing
from tests.testing.mutants.record import mutant

LION = "nanochat_optimizers.config:LionConfig"
Z_LOSS = "nanochat_objectives.config:ZLossConfig"


@mutant("optimizer", "resumes_in_the_middle", LION)
class ForgetsItsState(Lion):
    """Loads nothing."""

    def load_state(self, state: OptimizerState) -> None:
        return


@mutant("optimizer", "state_belongs_to_names", LION)
class CountsInsteadOfNaming(Lion):
    """Gives state to parameters in the order in which they come."""

    def load_state(self, state: OptimizerState) -> None:
        values = list(state.values())
        super().load_state({p.name: slots for p, slots in zip(self.parameters, values, strict=False)})


@mutant("optimizer", "parameters_that_a_state_lacks_start_fresh", LION)
class KeepsWhatItHad(Lion):
    """Leaves the state of parameters that are not in what it loads."""

    def load_state(self, state: OptimizerState) -> None:
        super().load_state({**{name: dict(slots) for name, slots in self.state().items()}, **state})


@mutant("optimizer", "hyperparameters_are_those_of_the_step", LION)
class IgnoresTheSchedule(Lion):
    """Always takes the rate it was configured with."""

    def step(self, hyperparameters: Mapping[str, float]) -> None:
        super().step({**hyperparameters, "lr": 1e-4})


@mutant("optimizer", "lowers_a_quadratic", LION)
class Climbs(Lion):
    """Goes up."""

    def step(self, hyperparameters: Mapping[str, float]) -> None:
        super().step({**hyperparameters, "lr": -hyperparameters["lr"]})


@mutant("optimizer", "a_state_that_does_not_fit_is_refused", LION)
class TakesAnyShape(Lion):
    """Reshapes what it loads, or passes it over."""

    def load_state(self, state: OptimizerState) -> None:
        shapes = {p.name: p.tensor.shape for p in self.parameters}
        fits = {n: s for n, s in state.items() if n in shapes and all(t.shape == shapes[n] for t in s.values())}
        super().load_state(fits)


@mutant("optimizer", "without_a_gradient_nothing_moves", LION)
class DecaysEverything(Lion):
    """Takes a little of every weight away, gradient or not."""

    @torch.no_grad()
    def step(self, hyperparameters: Mapping[str, float]) -> None:
        super().step(hyperparameters)
        for parameter in self.parameters:
            parameter.tensor.mul_(1 - hyperparameters["lr"])


@mutant("optimizer", "weights_stay_leaves", LION)
class ReplacesWeights(Lion):
    """Keeps copies of the parameters instead of the parameters."""

    def __init__(self, config: Any, parameters: Sequence[NamedParameter]) -> None:
        super().__init__(config, parameters)
        self.parameters = tuple(
            NamedParameter(p.name, p.role, torch.nn.Parameter(p.tensor.detach().clone())) for p in parameters
        )


class Half(Schedule):
    """One half, always."""

    def __init__(self, config: Nothing, *, total_steps: int) -> None:
        super().__init__(total_steps)

    def multiplier(self, step: int) -> float:
        return 0.5


@mutant("schedule", "is_finite_and_not_negative")
class GoesNegative(Half):
    """A line that does not stop at zero."""

    def multiplier(self, step: int) -> float:
        return 1.0 - 1.2 * min(step, self.total_steps) / self.total_steps


@mutant("schedule", "depends_on_the_step_alone")
class CountsCalls(Half):
    """Falls with every time it is asked."""

    value = 1.0

    def multiplier(self, step: int) -> float:
        self.value *= 0.99
        return self.value


@mutant("schedule", "stays_at_its_end")
class ClimbsAgain(Half):
    """A wave that goes on past the end."""

    def multiplier(self, step: int) -> float:
        return abs(1.0 - step / self.total_steps)


@mutant("schedule", "is_free_of_torch")
class NeedsTorch(Half):
    """Stands in this module, which imports torch."""


@mutant("objective", "chunks_add_up", Z_LOSS)
class AveragesChunks(ZLoss):
    """The mean over a chunk, where the sum is asked for."""

    def __init__(self, config: Any, *, model: LanguageModel) -> None:
        super().__init__(config.weight)

    def terms(self, chunk: HeadChunk, model: LanguageModel) -> Tensor:
        return super().terms(chunk, model) / len(chunk.targets)


@mutant("objective", "rows_without_a_target_count_for_nothing", Z_LOSS)
class DividesByTheirNumber(AveragesChunks):
    """Not finite where no row has a target."""

    def terms(self, chunk: HeadChunk, model: LanguageModel) -> Tensor:
        counted = chunk.targets != -100
        return ZLoss.terms(self, chunk, model) * counted.sum() / counted.sum()


@mutant("objective", "it_teaches_something", Z_LOSS)
class TeachesNothing(AveragesChunks):
    """Its terms carry no gradient."""

    def terms(self, chunk: HeadChunk, model: LanguageModel) -> Tensor:
        return ZLoss.terms(self, chunk, model).detach()


@mutant("objective", "training_with_it_leaves_the_chunk_alone", Z_LOSS)
class SpoilsTheLogits(AveragesChunks):
    """Makes room in the logits that others still read."""

    def terms(self, chunk: HeadChunk, model: LanguageModel) -> Tensor:
        terms = ZLoss.terms(self, chunk, model)
        chunk.logits.data.mul_(0.5)
        return terms


@mutant("token_filter", "each_token_is_judged_by_itself")
class KeepsTheWorstHalf(TokenFilter):
    """Compares tokens with the others of their chunk."""

    def __init__(self, config: Nothing) -> None:
        super().__init__()

    def keep(self, losses: Tensor) -> Tensor:
        return losses >= losses.median() if len(losses) else losses.bool()


@mutant("callback", "hooks_are_those_of_the_contract")
class IsNeverCalled(Callback):
    """Waits for a hook that there is not."""

    def __init__(self, config: Nothing) -> None:
        super().__init__()

    def after_each_step(self, trainer: Any) -> None:
        return


@mutant("callback", "state_survives_a_checkpoint")
class KeepsTensors(Callback):
    """Has a tensor where JSON is asked for."""

    def __init__(self, config: Nothing) -> None:
        super().__init__()

    def state(self) -> dict[str, Any]:
        return {"mean": torch.zeros(3)}


@mutant("callback", "it_goes_through_a_training")
class ReadsWhatIsNotThere(Callback):
    """Takes every run to have scores of downstream tasks."""

    def __init__(self, config: Nothing) -> None:
        super().__init__()

    def after_evaluation(self, trainer: Any, scores: dict[str, float]) -> None:
        print(scores["eval/core"])


@mutant("tracker", "closing_is_always_allowed")
class ClosesOnce(Tracker):
    """Fails when it is closed again."""

    def __init__(self, config: Nothing) -> None:
        self.file: Any = None

    def open(self, run: TrackedRun, config: Mapping[str, Any]) -> None:
        self.file = (run.folder / "tracked").open("a")

    def close(self) -> None:
        self.file.close()
        self.file = None


@mutant("tracker", "stdout_is_left_alone")
class PrintsMetrics(Tracker):
    """Talks where data goes."""

    def __init__(self, config: Nothing) -> None:
        super().__init__()

    def metrics(self, step: int, record: Mapping[str, Any]) -> None:
        print(record)


class Length(Evaluation):
    """How large the weights are."""

    def __init__(self, config: Nothing) -> None:
        super().__init__()

    def run(self, subject: Subject) -> dict[str, Score]:
        total = sum(float(parameter.detach().square().sum()) for parameter in subject.model.parameters())
        return {"eval/length": Score(total, "squared weights")}


@mutant("evaluation", "the_model_is_left_alone")
class TrainsALittle(Length):
    """Changes what it measures."""

    @torch.no_grad()
    def run(self, subject: Subject) -> dict[str, Score]:
        scores = super().run(subject)
        next(subject.model.parameters()).mul_(0.999)
        return scores


@mutant("evaluation", "scores_come_again")
class Guesses(Length):
    """Draws its score."""

    def run(self, subject: Subject) -> dict[str, Score]:
        return {"eval/guess": Score(float(torch.rand(())), "share")}


@mutant("evaluation", "scores_are_finite_and_have_units")
class SaysNoUnit(Length):
    """A bare number."""

    def run(self, subject: Subject) -> dict[str, Score]:
        return {"eval/length": Score(1.0, "")}


@mutant("schedule", "every_setting_is_described", "tests.testing.mutants.configs:Undescribed")
class SaysNothing(Half):
    """A field without a description."""


@mutant("schedule", "quantities_have_a_unit", "tests.testing.mutants.configs:WithoutUnit")
class SaysNoSeconds(Half):
    """A duration without a unit."""


@mutant("schedule", "settings_survive_json", "tests.testing.mutants.configs:Forgetful")
class ReadsItselfOtherwise(Half):
    """Settings that change when they are read again."""


@mutant("schedule", "settings_are_a_component_config", "tests.testing.mutants.configs:Tolerant")
class TakesAnyKey(Half):
    """Settings that refuse nothing."""


@mutant("schedule", "settings_import_nothing_heavy", "tests.testing.mutants.heavy_config:Heavy")
class ImportsTorch(Half):
    """Settings in a module that imports torch."""
