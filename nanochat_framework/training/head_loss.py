"""The loss at the head, a chunk of rows at a time, so that the whole logits tensor never exists.

For rows of a micro-batch the logits are made, every term of the loss reads them, and their gradients leave at once:
into the `.grad` of the head's (and the objectives') parameters, and into a gradient of the hidden states that then
runs back through the trunk. Memory is one chunk's logits instead of batch · seq · vocab_size (cf. the chunked linear
cross-entropy of Liger, arXiv 2410.10989).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from nanochat_framework.contracts.model import LanguageModel
from nanochat_framework.contracts.objective import HeadChunk, Objective
from nanochat_framework.data.loader import IGNORED_TARGET

CROSS_ENTROPY = "loss"
"""Name of the term that is always there: plain cross-entropy, nats per token."""

Sums = dict[str, Tensor]
"""Term name -> sum over rows, () float32, without gradient."""


@dataclass(frozen=True)
class HeadLoss:
    """Cross-entropy and further objectives of a model, `chunk_rows` rows of logits at a time."""

    model: LanguageModel
    objectives: Mapping[str, Objective]
    chunk_rows: int

    def counts(self, targets: Tensor) -> dict[str, Tensor]:
        """Terms by name that a micro-batch's targets (batch, seq) hold: () int64 each."""
        counts = {CROSS_ENTROPY: (targets != IGNORED_TARGET).sum()}
        counts.update({name: objective.count(targets) for name, objective in self.objectives.items()})
        return counts

    @torch.no_grad()
    def token_losses(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy of every position, for evaluation: (batch, seq, dim), (batch, seq) -> (batch, seq) float32."""
        rows, flat = hidden.flatten(0, 1), targets.flatten()
        losses = [
            functional.cross_entropy(
                self.model.logits(rows[part]), flat[part], reduction="none", ignore_index=IGNORED_TARGET
            )
            for part in self._chunks(flat)
        ]
        return torch.cat(losses).view_as(targets)

    def backward(
        self,
        hidden: Tensor,
        targets: Tensor,
        counts: Mapping[str, float],
        auxiliary: Sequence[Tensor] = (),
        scale: float = 1.0,
    ) -> Sums:
        """Add the gradients of a micro-batch's share of the step's loss to every parameter's `.grad`.

        Args:
            hidden: (batch, seq, dim), the trunk's output with its graph.
            targets: (batch, seq) int64.
            counts: terms by name in the whole step, which the sums are divided by.
            auxiliary: further scalars of the trunk, already weighted, that go back together with the hidden states.
            scale: factor of all gradients, the auxiliary ones' too (see `training.loss_scale`).

        Returns:
            The micro-batch's sum of each term, unweighted.
        """
        parameters = self._parameters()
        rows, flat = hidden.detach().flatten(0, 1), targets.flatten()
        gradient = torch.empty_like(rows)
        sums: Sums = {}
        for part in self._chunks(flat):
            leaf = rows[part].requires_grad_()
            chunk = HeadChunk(leaf, self.model.logits(leaf), flat[part], part.start, targets)
            found = self._backward_chunk(chunk, counts, sums, parameters, scale)
            gradient[part] = 0 if found is None else found
        ones = [torch.full_like(loss, scale) for loss in auxiliary]
        torch.autograd.backward([hidden, *auxiliary], [gradient.view_as(hidden), *ones])
        return sums

    def _backward_chunk(
        self,
        chunk: HeadChunk,
        counts: Mapping[str, float],
        sums: Sums,
        parameters: Sequence[torch.nn.Parameter],
        scale: float,
    ) -> Tensor | None:
        """Accumulate the parameters' gradients of a chunk; returns the gradient of its hidden states.

        All it made dies with this call: the head's gradient of one chunk must not live through the next.
        """
        total = scale * self._add_terms(chunk, counts, sums)
        hidden_gradient, *found = torch.autograd.grad(total, [chunk.hidden, *parameters], allow_unused=True)
        for parameter, parameter_gradient in zip(parameters, found, strict=True):
            _accumulate(parameter, parameter_gradient)
        return hidden_gradient

    def _add_terms(self, chunk: HeadChunk, counts: Mapping[str, float], sums: Sums) -> Tensor:
        """The chunk's share of the loss; its unweighted sums are added to `sums`."""
        cross_entropy = functional.cross_entropy(
            chunk.logits, chunk.targets, reduction="sum", ignore_index=IGNORED_TARGET
        )
        terms = {CROSS_ENTROPY: (1.0, cross_entropy)}
        for name, objective in self.objectives.items():
            terms[name] = (objective.weight, objective.terms(chunk, self.model))
        for name, (_, value) in terms.items():
            sums[name] = sums.get(name, 0.0) + value.detach()
        return sum(weight * value / max(counts[name], 1) for name, (weight, value) in terms.items())  # type: ignore[return-value]

    def _parameters(self) -> list[torch.nn.Parameter]:
        own = [p for objective in self.objectives.values() for p in objective.parameters()]
        return [p for p in (*self.model.head_parameters(), *own) if p.requires_grad]

    def _chunks(self, flat: Tensor) -> list[slice]:
        rows = flat.shape[0]
        return [slice(start, min(start + self.chunk_rows, rows)) for start in range(0, rows, self.chunk_rows)]


def _accumulate(parameter: torch.nn.Parameter, gradient: Tensor | None) -> None:
    if gradient is None:
        return
    if parameter.grad is None:
        parameter.grad = gradient
    else:
        parameter.grad += gradient
