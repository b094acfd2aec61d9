"""One optimizer step: what is trained and how, apart from the loop that drives it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.contracts.model import LanguageModel
from nanochat_framework.contracts.objective import Objective
from nanochat_framework.contracts.optimizer import NamedParameter
from nanochat_framework.data.loader import Batch
from nanochat_framework.errors import UsageError
from nanochat_framework.model.auxiliary import collecting
from nanochat_framework.model.build import build_model
from nanochat_framework.model.parameters import named_parameters
from nanochat_framework.training.head_loss import CROSS_ENTROPY, HeadLoss, Sums
from nanochat_framework.training.optimizer_groups import OptimizerGroups


@dataclass
class StepResult:
    """What one step did. `losses` are means over the step, unweighted, by term; `total_loss` is what is optimised."""

    step: int
    losses: dict[str, float]
    total_loss: float
    grad_norm: float
    tokens: int
    skipped: bool
    learning_rates: dict[str, float] = field(default_factory=dict)


class TrainModule:
    """A model with its loss and optimizers. Step k always means the k-th update, counted from 1."""

    def __init__(self, config: RunConfig, device: torch.device) -> None:
        self.config, self.device = config, device
        self.model: LanguageModel = build_model(
            config.model, config.quantizer, precision=config.train.precision, device=device, seed=config.train.seed
        )
        self.objectives = build_objectives(config, self.model)
        self.head_loss = HeadLoss(self.model, self.objectives, config.train.loss_chunk)
        self.parameters = self._named_parameters()
        self.optimizers = OptimizerGroups(self.parameters, config.optimizer, config.schedule, config.train.steps)

    def _named_parameters(self) -> list[NamedParameter]:
        found = named_parameters(self.model)
        for name, objective in self.objectives.items():
            found += named_parameters(objective, prefix=f"objective.{name}.")
        return found

    def step(self, batches: Sequence[Batch], step: int) -> StepResult:
        """Forward, backward and update on the micro-batches of one step.

        Sums of all micro-batches are divided by the counts of all of them, so that n micro-batches equal one large
        batch. If the loss or the gradient is not finite, no weight changes and the result says `skipped`.
        """
        self.model.train()
        self.optimizers.zero_grad()
        moved = [batch.to(self.device) for batch in batches]
        counts = {name: float(n) for name, n in _added(self.head_loss.counts(b.targets) for b in moved).items()}
        passes = [self._accumulate(batch, counts, len(moved)) for batch in moved]
        grad_norm = self._clip()
        losses = {name: float(value) / max(counts[name], 1.0) for name, value in _added(p.sums for p in passes).items()}
        auxiliary = {name: float(value) for name, value in _added(p.auxiliary for p in passes).items()}
        total = losses[CROSS_ENTROPY] + sum(float(p.auxiliary_total) for p in passes)
        total += sum(objective.weight * losses[name] for name, objective in self.objectives.items())
        skipped = not (math.isfinite(total) and math.isfinite(grad_norm))
        if not skipped:
            self.optimizers.step(step)
        return StepResult(
            step=step,
            losses={**losses, **auxiliary},
            total_loss=total,
            grad_norm=grad_norm,
            tokens=sum(batch.tokens.numel() for batch in moved),
            skipped=skipped,
            learning_rates=self.optimizers.learning_rates(step),
        )

    def _accumulate(self, batch: Batch, counts: Mapping[str, float], n_micro_batches: int) -> _Pass:
        """Forward and backward of one micro-batch; gradients add up in the parameters."""
        with collecting() as collected:
            hidden = self.model.hidden(batch.tokens, documents=batch.documents)
        weighted = [weight * loss / n_micro_batches for losses in collected.values() for weight, loss in losses]
        sums = self.head_loss.backward(hidden, batch.targets, counts, weighted)
        means = {
            name: torch.stack([loss.detach() for _, loss in losses]).mean() / n_micro_batches
            for name, losses in collected.items()
        }
        return _Pass(sums, means, sum((loss.detach() for loss in weighted), torch.zeros(())))

    def _clip(self) -> float:
        """Scale the gradient down to `train.grad_clip`; returns its global L2 norm before."""
        gradients = [p.tensor.grad for p in self.parameters if p.tensor.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        limit = self.config.train.grad_clip
        if limit > 0:
            torch.nn.utils.clip_grads_with_norm_([p.tensor for p in self.parameters], limit, norm)
        return float(norm)


@dataclass
class _Pass:
    """What one micro-batch added: sums of the head's terms, mean auxiliary losses, and their weighted total."""

    sums: Sums
    auxiliary: dict[str, Tensor]
    auxiliary_total: Tensor


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
