"""The data of a run, opened: which rows each step has, and what is held out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from nanochat_framework.config.phases import steps_within, training_phases
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.contracts.source import TokenSource
from nanochat_framework.data.loader import Batch, EvaluationBatches
from nanochat_framework.data.plan import LoaderPlan, TokenStream
from nanochat_framework.data.tokenizer import Tokenizer
from nanochat_framework.errors import UsageError
from nanochat_framework.training.evaluation import HeldOut


class TrainingData:
    """The sources of `[data]`, which share one tokenizer.

    Raises UsageError for sources that cannot be opened, do not fit the model's vocabulary, or were made with different
    tokenizers.
    """

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        rules = config.data.all_sources
        self.sources: list[TokenSource] = [
            rule.component.build(vocab_size=config.model.config.vocab_size) for rule in rules
        ]
        names = [rule.component.name for rule in rules]
        several = len(set(names)) < len(names)
        self.labels = [f"{name}.{number}" if several else name for number, name in enumerate(names)]
        self._max_epochs = [rule.max_epochs for rule in rules]
        self._check_tokenizers()

    def _check_tokenizers(self) -> None:
        known = {
            label: source.tokenizer.fingerprint
            for label, source in zip(self.labels, self.sources, strict=True)
            if source.tokenizer is not None
        }
        first = next(iter(known), "")
        for label, fingerprint in known.items():
            if fingerprint != known[first]:
                raise UsageError(
                    f"data.sources: the tokens of {label} were made with another tokenizer than those of {first}; prepare "
                    f"one with the other's tokenizer.json"
                )

    @property
    def tokenizer(self) -> Tokenizer | None:
        """The tokenizer that the sources share; None where none of them is text."""
        return next((source.tokenizer for source in self.sources if source.tokenizer is not None), None)

    @property
    def tokenizer_path(self) -> Path | None:
        """The tokenizer's file; checkpoints carry a copy."""
        return next((source.tokenizer_path for source in self.sources if source.tokenizer_path is not None), None)

    def plan(self, world_size: int = 1) -> LoaderPlan:
        """Which rows each step has. Raises UsageError as `LoaderPlan` does."""
        return LoaderPlan(
            self._streams(),
            training_phases(self.config),
            seed=self.config.train.seed,
            world_size=world_size,
            packing=self.config.data.packing,
            document_attention=self.config.data.document_attention,
        )

    def _streams(self) -> list[TokenStream]:
        return [
            TokenStream(label, source.train(), source.train_starts(), source.train_scores(), max_epochs)
            for label, source, max_epochs in zip(self.labels, self.sources, self._max_epochs, strict=True)
        ]

    def steps_of(self, epochs: int) -> int:
        """Steps that pass over all training tokens that many times, sources with more tokens more often seen."""
        seq_len = self.config.data.seq_len
        windows = sum((len(source.train()) - 1) // seq_len for source in self.sources)
        return steps_within(self.config, epochs * windows * seq_len)

    def held_out(self) -> HeldOut | None:
        """The held-out batches of `[eval]`, of each source as many; None without held-out tokens."""
        parts = [source for source in self.sources if len(_held_out_tokens(source)) > 1]
        if not parts:
            return None
        limit = -(-self.config.eval.batches // len(parts))
        return HeldOut(_Chain([self._evaluation(source, limit) for source in parts]), self._byte_lengths())

    def _evaluation(self, source: TokenSource, max_batches: int) -> EvaluationBatches:
        apart = self.config.data.document_attention
        return EvaluationBatches(
            _held_out_tokens(source),
            seq_len=self.config.data.seq_len,
            batch_size=self.config.train.batch_size,
            max_batches=max_batches,
            starts=source.validation_starts() if apart else None,
        )

    def _byte_lengths(self) -> np.ndarray | None:
        tokenizer = self.tokenizer
        if tokenizer is None or any(source.tokenizer is None for source in self.sources):
            return None
        lengths = np.zeros(self.config.model.config.vocab_size, dtype=np.int64)
        lengths[: tokenizer.vocab_size] = tokenizer.byte_lengths
        return lengths


class _Chain:
    """Batches of several sources, one source after another."""

    def __init__(self, parts: Sequence[EvaluationBatches]) -> None:
        self._parts = parts

    def __iter__(self) -> Iterator[Batch]:
        for part in self._parts:
            yield from part


def _held_out_tokens(source: TokenSource) -> np.ndarray:
    tokens = source.validation()
    return np.empty(0, dtype=np.uint32) if tokens is None else tokens


def introduction(plan: LoaderPlan, n_steps: int) -> list[str]:
    """What a mixture and its phases come to, a line each; empty for one source and one phase."""
    lines = []
    if len(plan.streams) > 1:
        rows = plan.rows_before(n_steps)
        for stream, drawn, epochs in zip(plan.streams, rows, plan.epochs(n_steps), strict=True):
            share = drawn / max(sum(rows), 1)
            lines.append(
                f"source {stream.label}: {len(stream.tokens):,} tokens, {share:.1%} of the rows, {epochs:.2f} epochs"
            )
    if len(plan.phases) > 1:
        for number, phase in enumerate(plan.phases):
            order = "" if phase.difficulty == "none" else f", easy first by {phase.difficulty}"
            shares = f", weights {', '.join(f'{w:g}' for w in phase.weights)}" if len(phase.weights) > 1 else ""
            lines.append(
                f"phase {number}: steps {phase.first_step + 1} to {phase.end_step}, {phase.rows_per_step} sequences of "
                f"{phase.seq_len} tokens{order}{shares}"
            )
    return lines
