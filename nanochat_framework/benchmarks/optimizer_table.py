"""What the runs of the optimizer benchmark come to, a row for each optimizer."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from nanochat_framework.benchmarks.optimizers import WIDEST, Case, Results
from nanochat_framework.runs.jsonlines import Record


@dataclass(frozen=True)
class Row:
    """One optimizer at its learning rate.

    `standard_error` is None for one seed. `step_time_ratio` is the median over the waves that trained it beside the
    first optimizer; None if none did. `widest`: the search ended at its limit, so a better rate may lie beyond.
    """

    optimizer: str
    lr: float | None
    bits_per_byte: float
    standard_error: float | None
    seeds: int
    runs: int
    state_bytes_per_parameter: float
    step_time_ratio: float | None
    skipped_steps: int
    widest: bool


def rows(results: Results, optimizers: Sequence[str], seeds: Sequence[int], *, search: bool) -> list[Row]:
    """A row for each optimizer, all of whose runs are done."""
    tried = {name: _runs(results, name, seeds, search) for name in optimizers}
    return [_row(name, tried[name], tried[optimizers[0]], seeds) for name in optimizers]


def _runs(results: Results, optimizer: str, seeds: Sequence[int], search: bool) -> list[Record]:
    """The lines of an optimizer, those of its best rate first, in the order of the seeds."""
    best = results.search(optimizer, seeds[0])[0] if search else 0
    chosen = [Case(optimizer, best, seed) for seed in seeds]
    others = [Case(optimizer, exponent, seeds[0]) for exponent in range(-WIDEST, WIDEST + 1) if search]
    found = (results.get(case) for case in dict.fromkeys([*chosen, *others]))
    return [line for line in found if line is not None]


def _row(name: str, lines: list[Record], reference: list[Record], seeds: Sequence[int]) -> Row:
    best, first = lines[: len(seeds)], lines[0]
    scores = [float(line["bits_per_byte"]) for line in best]
    theirs = {line["together"]: line["seconds_per_step"] for line in reference}
    ratios = [
        line["seconds_per_step"] / theirs[line["together"]] for line in lines if theirs.get(line["together"], 0.0)
    ]
    return Row(
        optimizer=name,
        lr=first["lr"],
        bits_per_byte=statistics.fmean(scores),
        standard_error=statistics.stdev(scores) / math.sqrt(len(scores)) if len(scores) > 1 else None,
        seeds=len(seeds),
        runs=len(lines),
        state_bytes_per_parameter=first["state_bytes"] / first["parameters"],
        step_time_ratio=statistics.median(ratios) if ratios else None,
        skipped_steps=sum(line["skipped_steps"] for line in best),
        widest=abs(first["exponent"]) == WIDEST,
    )
