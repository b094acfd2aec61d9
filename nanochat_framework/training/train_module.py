"""One optimizer step: what is trained and how, apart from the loop that drives it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.contracts.model import LanguageModel
from nanochat_framework.contracts.objective import Objective
from nanochat_framework.contracts.optimizer import NamedParameter
from nanochat_framework.data.loader import Batch
from nanochat_framework.data.tokenizer import Tokenizer
from nanochat_framework.errors import UsageError
from nanochat_framework.model.auxiliary import collecting
from nanochat_framework.model.build import PRECISIONS, build_model
from nanochat_framework.model.diagnostics import recording
from nanochat_framework.model.parameters import named_parameters
from nanochat_framework.model.quantization import set_scale_gradients, set_warmup
from nanochat_framework.model.step_counts import StepCounts, counting
from nanochat_framework.plugins.registry import Registry
from nanochat_framework.training.activation_checkpointing import checkpoint_activations
from nanochat_framework.training.compilation import compile_parts, prepare_weights
from nanochat_framework.training.head_loss import CROSS_ENTROPY, LOSS_KEPT, HeadLoss, Sums
from nanochat_framework.training.live_settings import LiveSettings
from nanochat_framework.training.loss_scale import LossScale
from nanochat_framework.training.optimizer_groups import OptimizerGroups
from nanochat_framework.training.spikes import SpikeGuard
from nanochat_framework.training.token_filter import SkippingLayers, build_token_filter
from nanochat_framework.training.weight_average import WeightAverage
from nanochat_framework.training.world import World

_AUXILIARY_TOTAL = "auxiliary_total"
"""Among a micro-batch's sums: its losses from inside the trunk, weighted."""


@dataclass
class StepResult:
    """What one step did. `losses` are means over the step, unweighted, by term; `total_loss` is what is optimised.

    `readings` are what the model's parts recorded of themselves, in steps that are logged.

    `tokens` were predicted, by all processes; padding counts for none. `skipped` says why no weight was changed:
    "not_finite", "spike", or "" for an ordinary step.
    """

    step: int
    losses: dict[str, float]
    total_loss: float
    grad_norm: float
    tokens: int
    skipped: str
    readings: dict[str, float] = field(default_factory=dict)
    learning_rates: dict[str, float] = field(default_factory=dict)
    loss_scale: float | None = None


class TrainModule:
    """A model with its loss and optimizers. Step k always means the k-th update, counted from 1."""

    def __init__(self, config: RunConfig, device: torch.device, world: World | None = None) -> None:
        self.config, self.device, self.world = config, device, world or World()
        self.settings = LiveSettings.of(config)
        self.model: LanguageModel = build_model(
            config.model, config.quantizer, precision=config.train.precision, device=device, seed=config.train.seed
        )
        if config.train.compile:
            compile_parts(self.model, device)
        checkpoint_activations(self.model, config.train.activation_checkpointing)
        self.objectives = build_objectives(config, self.model)
        token_filter = build_token_filter(config)
        self.head_loss = HeadLoss(self.model, self.objectives, config.train.loss_chunk, token_filter)
        self.skipping = SkippingLayers(self.model, config.token_filter.skip_layers if config.token_filter else 0)
        self.parameters = self._named_parameters()
        self.optimizers = OptimizerGroups(self.parameters, config.optimizer, config.schedule, config.train.most_steps)
        self.loss_scale = LossScale.for_precision(config.train.precision)
        self.spikes = SpikeGuard(config.train.spike_sigma, config.train.spike_window)
        decay = config.train.ema_decay
        self.average = None if decay is None else WeightAverage(named_parameters(self.model), decay)

    def _named_parameters(self) -> list[NamedParameter]:
        found = named_parameters(self.model)
        for name, objective in self.objectives.items():
            found += named_parameters(objective, prefix=f"objective.{name}.")
        return found

    def prepare_objectives(self, registry: Registry, tokenizer: Tokenizer | None = None) -> None:
        """Let the objectives read what they need besides the model; to be called before the first step.

        `tokenizer` is the data's. Raises UsageError where what they read does not fit.
        """
        for objective in self.objectives.values():
            objective.prepare(registry, tokenizer, self.config.train.precision, self.device)

    def step(self, batches: Sequence[Batch], step: int) -> StepResult:
        """Forward, backward and update on this process's micro-batches of one step.

        Sums over all micro-batches of all processes are divided by the counts of all of them, so that n micro-batches,
        or n processes, equal one large batch. If the loss or the gradient is not finite, or stands out as a spike, no
        weight changes and the result says why in `skipped`.
        """
        self.model.train()
        set_warmup(self.model, step)
        if self.config.train.compile:
            prepare_weights(self.model, PRECISIONS[self.config.train.precision])
        self.optimizers.zero_grad()
        counts = self._summed(_added(self.head_loss.counts(batch.targets) for batch in batches))
        n_micro_batches = len(batches) * self.world.size
        logged = step == 1 or step % self.settings.train_log_every == 0
        watched: AbstractContextManager[dict[str, list[Tensor]]] = recording() if logged else nullcontext({})
        moving: StepCounts = {}
        with watched as readings:
            passes = [self._accumulate(batch.to(self.device), counts, n_micro_batches, moving) for batch in batches]
        self._finish_gradients()
        grad_norm = self._clip()
        sums = self._summed(_added(passes))
        losses = {name: sums[name] / max(count, 1.0) for name, count in counts.items()}
        total = losses.get(LOSS_KEPT, losses[CROSS_ENTROPY]) + sums.pop(_AUXILIARY_TOTAL)
        total += sum(objective.weight * losses[name] for name, objective in self.objectives.items())
        losses.update({name: value for name, value in sums.items() if name not in counts})
        loss_scale = self.loss_scale.factor if self.loss_scale.dynamic else None
        skipped = self._judge(total, grad_norm)
        if not skipped:
            self.optimizers.step(step)
            self._move(moving)
            if self.average is not None:
                self.average.update()
        return StepResult(
            step=step,
            losses=losses,
            total_loss=total,
            grad_norm=grad_norm,
            tokens=round(counts[CROSS_ENTROPY]),
            skipped=skipped,
            readings={name: float(torch.stack(values).mean()) for name, values in readings.items()},
            learning_rates=self.optimizers.learning_rates(step),
            loss_scale=loss_scale,
        )

    def _accumulate(self, batch: Batch, counts: Mapping[str, float], n_micro_batches: int, moving: StepCounts) -> Sums:
        """Forward and backward of one micro-batch; gradients add up in the parameters.

        Adds to the counts that parts will be moved by. Returns its sums of the head's terms, its share of the mean
        auxiliary losses, and of their weighted total.
        """
        for objective in self.objectives.values():
            objective.begin(batch)
        with collecting() as collected, counting(moving), self.skipping.forward(batch.tokens.shape) as kept:
            hidden = self.model.hidden(batch.tokens, documents=batch.documents)
        weighted = [weight * loss / n_micro_batches for losses in collected.values() for weight, loss in losses]
        sums = self.head_loss.backward(hidden, batch.targets, counts, weighted, self.loss_scale.factor, kept)
        for name, losses in collected.items():
            sums[name] = torch.stack([loss.detach() for _, loss in losses]).mean() / n_micro_batches
        sums[_AUXILIARY_TOTAL] = sum((loss.detach() for loss in weighted), torch.zeros((), device=self.device))
        return sums

    def _summed(self, values: Mapping[str, Tensor]) -> dict[str, float]:
        """Sums over all processes, as numbers; waits for the device once."""
        dtype = torch.float64 if self.device.type == "cpu" else torch.float32  # mps has no float64
        numbers = torch.stack([value.to(dtype) for value in values.values()]).tolist()
        return dict(zip(values, self.world.sum_values(numbers), strict=True))

    def _finish_gradients(self) -> None:
        """Take the loss scale out of the gradients, sum them over all processes, and derive those of learned scales."""
        if self.loss_scale.dynamic:
            gradients = [p.tensor.grad for p in self.parameters if p.tensor.grad is not None]
            torch._foreach_mul_(gradients, 1.0 / self.loss_scale.factor)
        self.world.sum_gradients(p.tensor for p in self.parameters)
        set_scale_gradients(self.model)

    def _move(self, counts: StepCounts) -> None:
        """Let the parts that are moved by counts move by those of all micro-batches of all processes."""
        sizes = [len(each) for each in counts.values()]
        if not sizes:
            return
        sums = self.world.sum_values(torch.cat([each.double().cpu() for each in counts.values()]).tolist())
        for part, total in zip(counts, torch.split(torch.tensor(sums, dtype=torch.float64), sizes), strict=True):
            part.move(total)

    def _clip(self) -> float:
        """Scale the gradient down to `train.grad_clip`; returns its global L2 norm before."""
        gradients = [p.tensor.grad for p in self.parameters if p.tensor.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        limit = self.config.train.grad_clip
        if limit > 0:
            torch.nn.utils.clip_grads_with_norm_([p.tensor for p in self.parameters], limit, norm)
        return float(norm)

    def _judge(self, total_loss: float, grad_norm: float) -> str:
        """Why the step must not change the weights, "" if it may."""
        finite = math.isfinite(total_loss) and math.isfinite(grad_norm)
        self.loss_scale.update(finite)
        if not finite:
            return "not_finite"
        return "spike" if self.spikes.is_spike(total_loss, grad_norm) else ""

    def state(self) -> dict[str, Any]:
        """What a resume needs besides weights and optimizer state, as plain JSON data."""
        averaged = {} if self.average is None else {"averaged_updates": self.average.updates}
        return {"loss_scale": self.loss_scale.state(), "spikes": self.spikes.state(), **averaged}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take back what `state` returned."""
        self.loss_scale.load_state(state["loss_scale"])
        self.spikes.load_state(state["spikes"])
        if self.average is not None:
            self.average.updates = int(state["averaged_updates"])


def _added(parts: Iterable[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    total: dict[str, Tensor] = {}
    for part in parts:
        for name, value in part.items():
            total[name] = total[name] + value if name in total else value
    return total


def build_objectives(config: RunConfig, model: LanguageModel) -> dict[str, Objective]:
    """The `[[objective]]` components by name. Raises UsageError if one is named twice."""
    objectives: dict[str, Objective] = {}
    for selected in config.objective:
        if selected.name in objectives or selected.name == CROSS_ENTROPY:
            raise UsageError(f"[[objective]] {selected.name!r} is named twice; give each objective once")
        objectives[selected.name] = selected.build(model=model).to(model.device)
    return objectives
