"""The loss at the head, a chunk of rows at a time, so that the whole logits tensor never exists.

For rows of a micro-batch the logits are made, every term of the loss reads them, and their gradients leave at once:
into the `.grad` of the head's (and the objectives') parameters, and into a gradient of the hidden states that then
runs back through the trunk. Memory is one chunk's logits instead of batch · seq · vocab_size (cf. the chunked linear
cross-entropy of Liger, arXiv 2410.10989).

With a token filter the logits of a chunk are made for all its rows, and only the kept rows run backward.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from nanochat_framework.contracts.model import LanguageModel
from nanochat_framework.contracts.objective import HeadChunk, Objective, TokenFilter
from nanochat_framework.data.loader import IGNORED_TARGET
from nanochat_framework.model.kept_rows import KeptRows, keeping

CROSS_ENTROPY = "loss"
"""Name of the term that is always there: plain cross-entropy, nats per token."""
LOSS_KEPT, TOKENS_KEPT = "loss_kept", "tokens_kept"
"""Names of what a token filter leaves: the kept tokens' part of the loss, and their share of the tokens."""

Sums = dict[str, Tensor]
"""Term name -> sum over rows, () float32, without gradient."""


@dataclass(frozen=True)
class HeadLoss:
    """Cross-entropy and further objectives of a model, `chunk_rows` rows of logits at a time."""

    model: LanguageModel
    objectives: Mapping[str, Objective]
    chunk_rows: int
    token_filter: TokenFilter | None = None

    def counts(self, targets: Tensor) -> dict[str, Tensor]:
        """Terms by name that a micro-batch's targets (batch, seq) hold: () int64 each.

        What is kept is divided by all tokens too: then a kept token weighs what it would weigh without a filter, and
        the divisor is known before the losses are.
        """
        n_tokens = (targets != IGNORED_TARGET).sum()
        counts = {CROSS_ENTROPY: n_tokens}
        if self.token_filter is not None:
            counts |= {LOSS_KEPT: n_tokens, TOKENS_KEPT: n_tokens}
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
        kept: KeptRows | None = None,
    ) -> Sums:
        """Add the gradients of a micro-batch's share of the step's loss to every parameter's `.grad`.

        Args:
            hidden: (batch, seq, dim), the trunk's output with its graph.
            targets: (batch, seq) int64.
            counts: terms by name in the whole step, which the sums are divided by.
            auxiliary: further scalars of the trunk, already weighted, that go back together with the hidden states.
            scale: factor of all gradients, the auxiliary ones' too (see `training.loss_scale`).
            kept: rows (batch, seq) that products of the trunk were made to keep; it is told them before they need it.

        Returns:
            The micro-batch's sum of each term, unweighted.
        """
        parameters = self._parameters()
        rows, flat = hidden.detach().flatten(0, 1), targets.flatten()
        gradient = torch.empty_like(rows)
        sums: Sums = {}
        kept_rows = []
        for part in self._chunks(flat):
            kept_here = None if self.token_filter is None else KeptRows(flat[part].shape)
            with keeping(kept_here):
                leaf = rows[part].requires_grad_()
                chunk = HeadChunk(leaf, self.model.logits(leaf), flat[part], part.start, targets)
                found = self._backward_chunk(chunk, counts, sums, parameters, scale, kept_here)
            if kept_here is not None and kept_here.rows is not None:
                found = None if found is None else kept_here.spread(kept_here.of(found))
                kept_rows.append(kept_here.rows + part.start)
            gradient[part] = 0 if found is None else found
        if kept is not None:
            kept.rows = torch.cat(kept_rows)
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
        kept: KeptRows | None,
    ) -> Tensor | None:
        """Accumulate the parameters' gradients of a chunk; returns the gradient of its hidden states.

        All it made dies with this call: the head's gradient of one chunk must not live through the next.
        """
        total = scale * self._add_terms(chunk, counts, sums, kept)
        hidden_gradient, *found = torch.autograd.grad(total, [chunk.hidden, *parameters], allow_unused=True)
        for parameter, parameter_gradient in zip(parameters, found, strict=True):
            _accumulate(parameter, parameter_gradient)
        return hidden_gradient

    def _add_terms(self, chunk: HeadChunk, counts: Mapping[str, float], sums: Sums, kept: KeptRows | None) -> Tensor:
        """The chunk's share of the loss; its unweighted sums are added to `sums`."""
        if kept is None:
            trained = cross_entropy = functional.cross_entropy(
                chunk.logits, chunk.targets, reduction="sum", ignore_index=IGNORED_TARGET
            )
        else:
            cross_entropy, trained = self._filtered(chunk, kept, sums)
        values = {CROSS_ENTROPY: cross_entropy}
        total = trained / max(counts[CROSS_ENTROPY], 1)
        for name, objective in self.objectives.items():
            values[name] = objective.terms(chunk, self.model)
            total = total + objective.weight * values[name] / max(counts[name], 1)
        _add(sums, values)
        return total

    def _filtered(self, chunk: HeadChunk, kept: KeptRows, sums: Sums) -> tuple[Tensor, Tensor]:
        """Cross-entropy of all tokens, and of those that the filter keeps; `kept` is told which these are."""
        assert self.token_filter is not None
        losses = functional.cross_entropy(chunk.logits, chunk.targets, reduction="none", ignore_index=IGNORED_TARGET)
        chosen = self.token_filter.keep(losses.detach()) & (chunk.targets != IGNORED_TARGET)
        kept.keep(chosen)
        trained = losses[chosen].sum()
        _add(sums, {LOSS_KEPT: trained, TOKENS_KEPT: chosen.sum()})
        return losses.sum(), trained

    def _parameters(self) -> list[torch.nn.Parameter]:
        own = [p for objective in self.objectives.values() for p in objective.parameters()]
        return [p for p in (*self.model.head_parameters(), *own) if p.requires_grad]

    def _chunks(self, flat: Tensor) -> list[slice]:
        rows = flat.shape[0]
        return [slice(start, min(start + self.chunk_rows, rows)) for start in range(0, rows, self.chunk_rows)]


def _add(sums: Sums, values: Mapping[str, Tensor]) -> None:
    for name, value in values.items():
        sums[name] = sums.get(name, 0.0) + value.detach()


def _accumulate(parameter: torch.nn.Parameter, gradient: Tensor | None) -> None:
    if gradient is None:
        return
    if parameter.grad is None:
        parameter.grad = gradient
    else:
        parameter.grad += gradient
