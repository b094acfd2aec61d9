"""From what a person asks for (tokens, tokens a parameter, tokens a step) to the steps and micro-batches of a run.

What is settled here depends on the configuration alone: the rows of a step are shared out by however many processes
train, so their number is no part of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from nanochat_framework.config.data_section import MOST_AT_A_TIME
from nanochat_framework.config.derivation import Derivation
from nanochat_framework.config.phases import steps_reaching
from nanochat_framework.config.problems import Location
from nanochat_framework.config.run_config import OPEN_END, RunConfig


@dataclass(frozen=True)
class Settled:
    """A configuration whose `train.steps` and `gradient_accumulation` are numbers (steps: unless max_hours decides).

    `derived` says for each key that was computed what it was computed from; `problems` are messages by location.
    """

    config: RunConfig
    derived: dict[Location, Derivation]
    problems: tuple[tuple[Location, str], ...] = ()


def settle(config: RunConfig) -> Settled:
    """Compute what the configuration leaves to be computed; one that leaves nothing comes back as it is."""
    problems = tuple(_uneven_steps(config))
    if problems:
        return Settled(config, {}, problems)
    accumulated, derived = _accumulation(config)
    budget = _tokens(accumulated)
    if budget is None:
        return Settled(accumulated, derived)
    tokens, because = budget
    steps = steps_reaching(accumulated, tokens)
    if steps > OPEN_END:
        return Settled(config, {}, ((because.source, f"takes {steps:,} steps, more than {OPEN_END:,}"),))
    changes = {"steps": steps, "tokens": None, "tokens_per_parameter": None}
    return Settled(_with_train(accumulated, changes), {**derived, ("train", "steps"): because})


def _tokens(config: RunConfig) -> tuple[int, Derivation] | None:
    """Tokens to train on, and what says so; None where something else is asked for."""
    train = config.train
    if train.tokens is not None:
        return train.tokens, Derivation(("train", "tokens"), f"train.tokens = {train.tokens}")
    if train.tokens_per_parameter is None:
        return None
    from nanochat_framework.planning.inventory import take_inventory
    from nanochat_framework.planning.parameters import count_parameters

    model_alone = config.model_copy(update={"objective": ()})  # whose own heads are no part of the count
    n_parameters = count_parameters(take_inventory(model_alone)).total
    text = f"train.tokens_per_parameter = {train.tokens_per_parameter:g} ({n_parameters:,} parameters)"
    tokens = math.ceil(train.tokens_per_parameter * n_parameters)
    return tokens, Derivation(("train", "tokens_per_parameter"), text)


def _accumulation(config: RunConfig) -> tuple[RunConfig, dict[Location, Derivation]]:
    """`batch_tokens` as micro-batches, of `[train]` and of each phase that does not say how many itself."""
    total = config.train.batch_tokens
    if total is None:
        return config, {}
    because = Derivation(("train", "batch_tokens"), f"train.batch_tokens = {total}")
    derived: dict[Location, Derivation] = {("train", "gradient_accumulation"): because}
    phases = list(config.data.phase)
    for number, unit in _units(config):
        if number is not None:
            phases[number] = phases[number].model_copy(update={"gradient_accumulation": total // unit})
            derived["data", "phase", number, "gradient_accumulation"] = because
    usual = config.train.batch_size * config.data.seq_len
    config = _with_train(config, {"gradient_accumulation": total // usual, "batch_tokens": None})
    data = config.data.model_copy(update={"phase": tuple(phases)})
    return config.model_copy(update={"data": data}), derived


def _units(config: RunConfig) -> Iterator[tuple[int | None, int]]:
    """Tokens in a micro-batch: of `[train]` (None), and of each phase, by number, whose steps batch_tokens decides."""
    batch_size, seq_len = config.train.batch_size, config.data.seq_len
    yield None, batch_size * seq_len
    for number, phase in enumerate(config.data.phase):
        if phase.gradient_accumulation is None:
            yield number, (phase.batch_size or batch_size) * (phase.seq_len or seq_len)


def _uneven_steps(config: RunConfig) -> Iterator[tuple[Location, str]]:
    total = config.train.batch_tokens
    for number, unit in _units(config) if total else ():
        if not total or not total % unit:
            if total and total // unit > MOST_AT_A_TIME:
                message = f"makes {total // unit:,} micro-batches of {unit} tokens, more than {MOST_AT_A_TIME:,}"
                yield ("train", "batch_tokens"), message
            continue
        owner = "train" if number is None else f"data.phase.{number}"
        nearest = " and ".join(str(n) for n in (total // unit * unit, total // unit * unit + unit) if n)
        sizes = " or ".join(map(str, _near_divisors(config, total, number)))
        yield (
            ("train", "batch_tokens"),
            f"{total} is no whole number of micro-batches of {unit} tokens (batch_size x seq_len of {owner}); the nearest "
            f"that are: {nearest}" + (f"; or keep it with a batch_size of {sizes}" if sizes else ""),
        )


def _near_divisors(config: RunConfig, total: int, number: int | None) -> list[int]:
    """The next smaller and larger batch sizes that would do for so many tokens in a step."""
    phase = None if number is None else config.data.phase[number]
    batch_size = (phase and phase.batch_size) or config.train.batch_size
    rows, rest = divmod(total, (phase and phase.seq_len) or config.data.seq_len)
    if rest or rows < 1:
        return []
    low = next(size for size in range(min(batch_size, rows, 10**5), 0, -1) if rows % size == 0)
    high = next((size for size in range(batch_size, min(2 * batch_size, rows, 10**5) + 1) if rows % size == 0), None)
    return [size for size in (low, high) if size]


def _with_train(config: RunConfig, changes: dict[str, Any]) -> RunConfig:
    return config.model_copy(update={"train": config.train.model_copy(update=changes)})
