"""The phases of a training, step by step: what `[[data.phase]]` says, filled in from `[data]` and `[train]`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nanochat_framework.config.data_section import Difficulty

if TYPE_CHECKING:
    from nanochat_framework.config.run_config import RunConfig


@dataclass(frozen=True)
class Phase:
    """Steps first_step ... end_step - 1, counted from 0, which all have the same shape."""

    first_step: int
    end_step: int
    seq_len: int
    batch_size: int
    """The most sequences that a process takes at a time."""
    gradient_accumulation: int = 1
    """Micro-batches of that size that make one step, over all processes."""
    weights: tuple[float, ...] = (1.0,)
    """Of the sources."""
    difficulty: Difficulty = "none"

    @property
    def rows_per_step(self) -> int:
        """Sequences in one optimizer step, over all micro-batches and processes."""
        return self.batch_size * self.gradient_accumulation

    @property
    def tokens_per_step(self) -> int:
        """Tokens in one optimizer step; padding counts here."""
        return self.rows_per_step * self.seq_len

    @property
    def steps(self) -> int:
        """How many steps it has."""
        return self.end_step - self.first_step


def training_phases(config: RunConfig) -> tuple[Phase, ...]:
    """The phases of a run, without gaps up to its last step; those that a short run leaves no step are left out."""
    return tuple(_phases(config, config.train.most_steps))


def largest_phase(config: RunConfig) -> Phase:
    """The phase whose micro-batch has the most tokens: the one that needs the most memory."""
    return max(training_phases(config), key=lambda phase: (phase.batch_size * phase.seq_len, phase.seq_len))


def planned_tokens(config: RunConfig) -> int:
    """Tokens in the whole run."""
    return sum(phase.steps * phase.tokens_per_step for phase in training_phases(config))


def steps_within(config: RunConfig, tokens: int) -> int:
    """The most steps that train on no more than that many tokens, at least 1."""
    return max(1, _most_steps(config, tokens))


def steps_reaching(config: RunConfig, tokens: int) -> int:
    """The fewest steps that train on that many tokens or more."""
    return 1 + _most_steps(config, tokens - 1)


def _most_steps(config: RunConfig, tokens: int) -> int:
    """The most steps that train on no more than that many tokens."""

    def needed(steps: int) -> int:
        return sum(phase.steps * phase.tokens_per_step for phase in _phases(config, steps))

    low, high = 0, 1
    while needed(high) <= tokens:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if needed(middle) <= tokens else (low, middle)
    return low


def _phases(config: RunConfig, steps: int) -> Iterator[Phase]:
    data, train = config.data, config.train
    weights = tuple(source.weight for source in data.all_sources)
    usual = Phase(0, steps, data.seq_len, train.batch_size, train.gradient_accumulation, weights)
    step = tokens = 0
    for given in data.phase:
        phase = Phase(
            first_step=step,
            end_step=steps,
            seq_len=given.seq_len or usual.seq_len,
            batch_size=given.batch_size or usual.batch_size,
            gradient_accumulation=given.gradient_accumulation or usual.gradient_accumulation,
            weights=given.weights or weights,
            difficulty=given.difficulty,
        )
        if given.until is not None:
            end = round(given.until * steps)
        else:
            end = step + -(-max(0, (given.until_tokens or 0) - tokens) // phase.tokens_per_step)
        end = min(max(end, step), steps)
        if end > step:
            phase = replace(phase, end_step=end)
            yield phase
            step, tokens = end, tokens + phase.steps * phase.tokens_per_step
    if step < steps:
        yield replace(usual, first_step=step)
