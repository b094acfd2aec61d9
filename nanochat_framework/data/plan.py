"""Which rows each step of a training has: sources mixed by weight, phases one after another, epochs without gaps.

Everything follows from (seed, step). The rows of a phase are dealt out to the sources (`data.mixture`), and a source's
rows are a way through its blocks (`data.visit`, `data.packing`). When a source has had all the epochs it may have, a new
stretch of rows begins in which the others share its part.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

import numpy as np

from nanochat_framework.config.phases import Phase
from nanochat_framework.data.mixture import Mixture
from nanochat_framework.data.packing import Blocks, Piece, document_blocks, stream_blocks
from nanochat_framework.data.visit import Standing, Visit
from nanochat_framework.errors import UsageError


@dataclass(frozen=True, eq=False)
class TokenStream:
    """Tokens of one source to train on.

    `tokens` (n,) uint32; `starts` (documents,) the first token of each document, ascending, and `scores` (documents,) their
    difficulty, None where that is not known. After `max_epochs` passes the source is used up.
    """

    label: str
    tokens: np.ndarray
    starts: np.ndarray | None = None
    scores: np.ndarray | None = None
    max_epochs: int | None = None

    def known_starts(self) -> np.ndarray:
        """(documents,) int64, the first always 0. Raises UsageError where the source does not say."""
        if self._starts is None:
            raise UsageError(
                f"{self.label}: nothing tells where its documents start, which data.packing, data.document_attention and "
                f"difficulty need; `nanochat prepare-data` writes it to tokens.starts.bin"
            )
        return self._starts

    @cached_property
    def _starts(self) -> np.ndarray | None:
        if self.starts is None:
            return None
        starts = np.asarray(self.starts).astype(np.int64)
        if len(starts) and (starts[-1] >= len(self.tokens) or (np.diff(starts) <= 0).any()):
            raise UsageError(f"{self.label}: the starts of its documents are not ascending places in its tokens")
        return starts if len(starts) and starts[0] == 0 else np.append(0, starts)

    def difficulty(self, by: str) -> np.ndarray:
        """(documents,) float64: "length" in tokens, or "scores". Raises UsageError where that is not known."""
        starts = self.known_starts()
        if by == "length":
            return np.diff(np.append(starts, len(self.tokens))).astype(np.float64)
        if self.scores is None:
            raise UsageError(
                f'{self.label}: difficulty = "scores" needs a score for each document in tokens.scores.bin; '
                f'difficulty = "length" needs none'
            )
        if len(self.scores) != len(starts) or not np.isfinite(self.scores).all():
            raise UsageError(
                f"{self.label}: its {len(self.scores)} scores are not one number for each of its documents"
            )
        return np.asarray(self.scores, dtype=np.float64)


@dataclass(frozen=True)
class _Stretch:
    """Rows of a phase from `first` on that are shared out in one way; `before` counts the phase's rows of each source."""

    first: int
    mixture: Mixture
    before: tuple[int, ...]


@dataclass(frozen=True)
class _PlannedPhase:
    phase: Phase
    visits: tuple[Visit, ...]
    stretches: tuple[_Stretch, ...]
    before: tuple[int, ...]
    """Rows of each source in earlier phases."""

    def place(self, row: int) -> tuple[_Stretch, int]:
        """The stretch of a row, and the row's number in it."""
        stretch = self.stretches[bisect_right(self.stretches, row, key=lambda stretch: stretch.first) - 1]
        return stretch, row - stretch.first


class LoaderPlan:
    """Everything that decides which tokens a step sees; the same for every rank.

    Building it takes time in proportion to the data's blocks; every question after that is answered at once.
    """

    def __init__(
        self,
        streams: Sequence[TokenStream],
        phases: Sequence[Phase],
        *,
        seed: int = 0,
        world_size: int = 1,
        packing: Literal["stream", "documents"] = "stream",
        document_attention: bool = False,
    ) -> None:
        """
        Args:
            streams: the sources.
            phases: without gaps from step 0; the last one goes on for ever. Their weights are those of the streams.
            seed: of the order.
            world_size: processes that share the rows of a step.
            packing: "stream" cuts tokens into windows, "documents" packs whole documents.
            document_attention: whether mixers keep documents apart.

        Raises UsageError for data that is too short or does not say where documents start where that is needed, for
        processes that cannot share a step evenly, and where all sources are used up before the end.
        """
        self.streams, self.seed, self.world_size = tuple(streams), seed, world_size
        self.packing, self.document_attention = packing, document_attention
        self.warnings: list[str] = []
        """What a person should know, a line each."""
        self._used_up: set[int] = set()
        self._check_shares(phases)
        if document_attention:
            for stream in streams:
                stream.known_starts()
        self._blocks = [self._make_blocks(stream, phases) for stream in streams]
        self._scores = lru_cache(self._make_scores)
        self._phases = self._planned(phases)

    def phase(self, step: int) -> Phase:
        """The phase of a step, counted from 0."""
        return self._at(step).phase

    @property
    def phases(self) -> list[Phase]:
        """All phases."""
        return [planned.phase for planned in self._phases]

    def micro_batches(self, step: int) -> int:
        """Micro-batches of a step on one rank, as few as the phase's `batch_size` allows."""
        phase = self.phase(step)
        return -(-phase.rows_per_step // (self.world_size * phase.batch_size))

    def rows(self, step: int, micro: int = 0, rank: int = 0) -> list[tuple[int, list[Piece]]]:
        """(source, pieces) of each row of a rank's micro-batch."""
        planned = self._at(step)
        n_rows = planned.phase.rows_per_step
        begin, parts = (step - planned.phase.first_step) * n_rows, self.world_size * self.micro_batches(step)
        return [self._row(planned, row) for row in range(begin + micro * self.world_size + rank, begin + n_rows, parts)]

    def _row(self, planned: _PlannedPhase, row: int) -> tuple[int, list[Piece]]:
        stretch, number = planned.place(row)
        source = stretch.mixture.source(number)
        return source, planned.visits[source].row(stretch.before[source] + stretch.mixture.count(source, number))

    def rows_before(self, step: int) -> list[int]:
        """Rows that each source has had before a step."""
        planned = self._at(step)
        return [earlier + drawn for earlier, drawn in zip(planned.before, self._drawn(planned, step), strict=True)]

    def epochs(self, step: int) -> list[float]:
        """Passes over each source that are done before a step, the last one in part."""
        planned = self._at(step)
        return [visit.epochs(drawn) for visit, drawn in zip(planned.visits, self._drawn(planned, step), strict=True)]

    def _drawn(self, planned: _PlannedPhase, step: int) -> list[int]:
        """Rows of each source in a phase before a step of it."""
        stretch, rows = planned.place((step - planned.phase.first_step) * planned.phase.rows_per_step)
        return [before + stretch.mixture.count(source, rows) for source, before in enumerate(stretch.before)]

    def _at(self, step: int) -> _PlannedPhase:
        return self._phases[bisect_right(self._phases, step, key=lambda planned: planned.phase.first_step) - 1]

    def _check_shares(self, phases: Sequence[Phase]) -> None:
        for phase in phases:
            if phase.rows_per_step % self.world_size:
                raise UsageError(
                    f"a step has {phase.rows_per_step} sequences (train.batch_size x train.gradient_accumulation), which "
                    f"{self.world_size} processes cannot share evenly; choose sizes that they divide"
                )

    def _make_blocks(self, stream: TokenStream, phases: Sequence[Phase]) -> Blocks:
        size = max(phase.seq_len for phase in phases)
        n_tokens = len(stream.tokens)
        if n_tokens <= size:
            raise UsageError(
                f"{stream.label}: {n_tokens} tokens are too few for one sequence of data.seq_len={size}; prepare more text "
                f"or set a shorter data.seq_len"
            )
        if self.packing == "stream":
            return stream_blocks(n_tokens, size)
        by = next((phase.difficulty for phase in phases if phase.difficulty != "none"), None)
        blocks = document_blocks(stream.known_starts(), n_tokens, size, None if by is None else stream.difficulty(by))
        if not len(blocks):
            raise UsageError(f"{stream.label}: no document has two tokens, so there is nothing to predict")
        return blocks

    def _make_scores(self, source: int, difficulty: str) -> np.ndarray:
        """(blocks,) difficulty of each of a source's blocks."""
        stream = self.streams[source]
        scores = stream.difficulty(difficulty)
        return self._blocks[source].mean_scores(stream.known_starts(), scores, len(stream.tokens))

    def _planned(self, phases: Sequence[Phase]) -> list[_PlannedPhase]:
        result: list[_PlannedPhase] = []
        standings = [Standing() for _ in self.streams]
        before = [0] * len(self.streams)
        for number, phase in enumerate(phases):
            visits = [self._visit(source, number, phase, standing) for source, standing in enumerate(standings)]
            stretches, drawn = self._stretches(phase, visits, phases[-1].end_step)
            result.append(_PlannedPhase(phase, tuple(visits), tuple(stretches), tuple(before)))
            for visit, rows in zip(visits, drawn, strict=True):
                visit.wanted = rows
            if phase is not phases[-1]:
                standings = [visit.after(rows) for visit, rows in zip(visits, drawn, strict=True)]
                before = [earlier + rows for earlier, rows in zip(before, drawn, strict=True)]
        return result

    def _visit(self, source: int, number: int, phase: Phase, standing: Standing) -> Visit:
        scores = None if phase.difficulty == "none" else self._scores(source, phase.difficulty)
        return Visit(
            self._blocks[source],
            phase.seq_len,
            standing,
            seed=self.seed,
            source=source,
            phase=number,
            scores=scores,
        )

    def _stretches(self, phase: Phase, visits: Sequence[Visit], last_step: int) -> tuple[list[_Stretch], list[int]]:
        """The stretches of a phase, and the rows that each source has in it. Warns of sources that are used up in it."""
        total = phase.steps * phase.rows_per_step
        limits = [
            visit.rows_until(stream.max_epochs) if stream.max_epochs else None
            for stream, visit in zip(self.streams, visits, strict=True)
        ]
        stretches: list[_Stretch] = []
        drawn, done = [0] * len(visits), 0
        while True:
            live = [weight > 0 and limits[s] != drawn[s] for s, weight in enumerate(phase.weights)]
            step = phase.first_step + done // phase.rows_per_step
            self._warn_used_up([s for s, weight in enumerate(phase.weights) if weight and not live[s]], step, last_step)
            if not any(live):
                raise UsageError(
                    f"the sources are used up after step {step} of {last_step}, each read max_epochs times; set a larger "
                    f"max_epochs, or fewer train.steps"
                )
            mixture = Mixture([weight if live[s] else 0.0 for s, weight in enumerate(phase.weights)])
            stretches.append(_Stretch(done, mixture, tuple(drawn)))
            ends = {s: mixture.row(s, limit - drawn[s] - 1) + 1 for s, limit in enumerate(limits) if live[s] and limit}
            rows = min([total - done, *ends.values()])
            drawn = [before + mixture.count(s, rows) for s, before in enumerate(drawn)]
            done += rows
            if done == total:
                return stretches, drawn

    def _warn_used_up(self, sources: Sequence[int], step: int, last_step: int) -> None:
        for source in sources:
            stream = self.streams[source]
            if source not in self._used_up:
                self.warnings.append(
                    f"{stream.label} is used up after step {step} of {last_step} (max_epochs = {stream.max_epochs}); its "
                    f"share goes to the other sources"
                )
            self._used_up.add(source)
