"""Distillation (Hinton et al. 2015, arXiv 1503.02531): the student learns a trained model's distributions.

The teacher is no part of the objective as a module: it is not trained, not in checkpoints and not in the optimizer's state.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nanochat_framework.contracts.model import LanguageModel
from nanochat_framework.contracts.objective import HeadChunk, Objective
from nanochat_framework.data.loader import IGNORED_TARGET, Batch
from nanochat_framework.data.tokenizer import Tokenizer
from nanochat_framework.errors import UsageError
from nanochat_framework.inference.bundle import bundle_from, model_from_bundle
from nanochat_framework.model.diagnostics import recording
from nanochat_framework.plugins.registry import Registry
from nanochat_objectives.config import DistillationConfig


class Teacher:
    """A trained model that is asked what it makes of the micro-batch at hand, a chunk of rows at a time."""

    def __init__(self, model: LanguageModel) -> None:
        self.model = model
        self._hidden: Tensor | None = None

    @torch.no_grad()
    def read(self, batch: Batch) -> None:
        """Take a micro-batch in. What the teacher records of itself is not the student's, and is dropped."""
        with recording():
            self._hidden = self.model.hidden(batch.tokens, documents=batch.documents).flatten(0, 1)

    @torch.no_grad()
    def logits(self, rows: slice) -> Tensor:
        """Scores at rows of the flattened micro-batch: (rows, vocab_size) float32."""
        assert self._hidden is not None, "the teacher has read no micro-batch"
        return self.model.logits(self._hidden[rows])


class Distillation(Objective):
    """Mean of T² · KL(teacher ‖ student) over the rows that have a target; T² keeps gradients alike for every T."""

    def __init__(self, config: DistillationConfig, vocab_size: int) -> None:
        super().__init__(config.weight)
        self.config, self.vocab_size = config, vocab_size
        self.teacher: Teacher | None = None

    def prepare(self, registry: Registry, tokenizer: Tokenizer | None, precision: str, device: torch.device) -> None:
        """Read the teacher. Raises UsageError where there is none, or where its vocabulary is another."""
        where = f"[[objective]] distillation: teacher {self.config.teacher}"
        try:
            bundle = bundle_from(self.config.teacher, registry)
        except UsageError as error:
            raise UsageError(f"[[objective]] distillation: teacher: {error}") from None
        if tokenizer and bundle.tokenizer and tokenizer.fingerprint != bundle.tokenizer.fingerprint:
            raise UsageError(f"{where} has another tokenizer than the data; prepare the data with its tokenizer.json")
        if bundle.description.vocab_size != self.vocab_size:
            sizes = f"{bundle.description.vocab_size} tokens, the model {self.vocab_size}"
            raise UsageError(f"{where} has {sizes}; give the model the same vocab_size")
        self.teacher = Teacher(model_from_bundle(bundle, precision=precision, device=device))

    def begin(self, batch: Batch) -> None:
        """Let the teacher read the micro-batch. Raises UsageError for rows longer than it was built for."""
        assert self.teacher is not None, "prepare comes first"
        seq_len, longest = batch.tokens.shape[1], self.teacher.model.max_seq_len
        if seq_len > longest:
            raise UsageError(
                f"[[objective]] distillation: teacher {self.config.teacher} reads {longest} tokens, data.seq_len is {seq_len}"
            )
        self.teacher.read(batch)

    def count(self, targets: Tensor) -> Tensor:
        """Positions that have a target: (batch, seq) -> () int64."""
        return (targets != IGNORED_TARGET).sum()

    def terms(self, chunk: HeadChunk, model: LanguageModel) -> Tensor:
        """Sum of T² · KL over the chunk's rows that have a target: () float32."""
        assert self.teacher is not None, "prepare comes first"
        wanted = self.teacher.logits(slice(chunk.first_row, chunk.first_row + len(chunk.targets)))
        temperature = self.config.temperature
        rows = divergence(wanted / temperature, chunk.logits / temperature, self.config.top_k)
        return temperature**2 * rows.masked_fill(chunk.targets == IGNORED_TARGET, 0.0).sum()


def divergence(teacher: Tensor, student: Tensor, top_k: int) -> Tensor:
    """KL(teacher ‖ student) of softmaxes, nats: scores (rows, vocab_size) of both -> (rows,), differentiable in the student's.

    The teacher's `top_k` likeliest tokens count one by one and all others together, as one more token with the sum of
    their probabilities: never more than the whole divergence, and 0 where the student is the teacher. 0: every token.
    """
    if not 0 < top_k < teacher.shape[-1]:
        p, q = torch.log_softmax(teacher, dim=-1), torch.log_softmax(student, dim=-1)
        return (p.exp() * (p - q)).sum(dim=-1)
    chosen = teacher.topk(top_k, dim=-1).indices
    p, q = _coarse(teacher, chosen), _coarse(student, chosen)
    return (p.exp() * (p - q)).sum(dim=-1)


def _coarse(scores: Tensor, chosen: Tensor) -> Tensor:
    """Log-probabilities of the chosen tokens and, last, of the others together: (rows, vocab_size) -> (rows, k + 1)."""
    others = scores.scatter(-1, chosen, float("-inf")).logsumexp(dim=-1, keepdim=True)
    return torch.log_softmax(torch.cat((scores.gather(-1, chosen), others), dim=-1), dim=-1)


def build_distillation(config: DistillationConfig, *, model: LanguageModel) -> Distillation:
    """Factory of `distillation`."""
    return Distillation(config, model.vocab_size)
