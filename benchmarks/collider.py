"""What leaving tokens out saves: time of the backward pass and of the whole step, at a known share of kept tokens.

    python benchmarks/collider.py --preset tiny-cpu [--dropped 0.4] [--repeats 9] [--set model.dim=512] ...

The cases take turns, so that whatever else the machine does falls on all of them alike; figures are medians, ratios are to
the first case within this run. On the CPU it is the process's CPU time (all threads together), which neighbours on the cores
disturb less than the clock on the wall. The tokens that are dropped are drawn at random: what a product costs does not depend on
which rows it leaves out. `backward` is everything from the head's logits to the embedding; `step` has the forward pass and
the optimizers besides. `gradient` is the cosine of the gradient with that of the same kept tokens, followed exactly.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from nanochat_framework.config.load import load_config
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.contracts.objective import TokenFilter
from nanochat_framework.data.loader import Batch
from nanochat_framework.plugins import load_plugins
from nanochat_framework.training.head_loss import HeadLoss, Sums
from nanochat_framework.training.setup import configure_process
from nanochat_framework.training.train_module import TrainModule


class DrawnTokens(TokenFilter):
    """Drops a share of the tokens of each chunk, the same in every case."""

    def __init__(self, dropped: float) -> None:
        self.dropped = dropped

    def keep(self, losses: Tensor) -> Tensor:
        """(rows,) -> (rows,) bool."""
        drawn = torch.rand(losses.shape, generator=torch.Generator().manual_seed(0))
        return (drawn >= self.dropped).to(losses.device)


class TimedHeadLoss(HeadLoss):
    """Writes down how long each backward pass took, head included."""

    def backward(self, *arguments: Any, **options: Any) -> Sums:
        """As in `HeadLoss`."""
        started = _now(self.model.device)
        sums = super().backward(*arguments, **options)
        BACKWARD_SECONDS.append(_now(self.model.device) - started)
        return sums


BACKWARD_SECONDS: list[float] = []
"""Of the passes so far, in order."""


class Case:
    """A module with what was measured of it. `skip_layers` None: no token is dropped."""

    def __init__(self, config: RunConfig, dropped: float, skip_layers: int | None) -> None:
        if skip_layers is not None:
            table = config.token_filter
            assert table is not None
            config = config.model_copy(update={"token_filter": table.model_copy(update={"skip_layers": skip_layers})})
        else:
            config = config.model_copy(update={"token_filter": None})
        self.module = TrainModule(config, torch.device(config.hardware.device))
        own = {field.name: getattr(self.module.head_loss, field.name) for field in fields(HeadLoss)}
        drawn = None if skip_layers is None else DrawnTokens(dropped)
        self.module.head_loss = replace(TimedHeadLoss(**own), token_filter=drawn)
        self.steps: list[float] = []
        self.backwards: list[float] = []

    def step(self, batch: Batch, number: int) -> None:
        """One measured step."""
        started = _now(self.module.device)
        self.module.step([batch], number)
        self.steps.append(_now(self.module.device) - started)
        self.backwards.append(BACKWARD_SECONDS[-1])

    def gradient(self) -> Tensor:
        """The last step's, as one vector."""
        return torch.cat(
            [p.tensor.grad.flatten() for p in self.module.parameters if p.tensor.grad is not None]
        ).double()


def _now(device: torch.device) -> float:
    """Seconds: of this process on the CPU's cores, of the clock where a GPU computes."""
    if device.type != "cuda":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="tiny-cpu")
    parser.add_argument("--dropped", type=float, default=0.4, help="share of the tokens (default: 0.4)")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--set", action="append", default=[], dest="overrides", help="a key of the preset, anew")
    arguments = parser.parse_args()
    registry = load_plugins().registry
    overrides = ["data.source.name='synthetic'", "train.steps=100000", "token_filter.name='collider'"]
    config = load_config(arguments.preset, registry=registry, overrides=[*overrides, *arguments.overrides]).config
    device = configure_process(config, registry)
    config = config.model_copy(update={"hardware": config.hardware.model_copy(update={"device": device.type})})
    n_layers = config.model.config.n_layers
    skips = {
        "all tokens": None,
        "dropped at the head": 0,
        f"and in {n_layers // 2} of {n_layers} layers": n_layers // 2,
        f"and in all {n_layers} layers": n_layers,
    }
    cases = {name: Case(config, arguments.dropped, skip) for name, skip in skips.items()}
    rows, seq = config.train.batch_size, config.data.seq_len
    tokens = torch.randint(config.model.config.vocab_size, (rows, seq + 1), device=device)
    batch = Batch(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous())
    cosines: dict[str, float] = {}
    for number in range(1, arguments.repeats + 3):  # two rounds warm up: caches, optimizer state
        for case in cases.values():
            case.step(batch, number)
        if number == 1:  # the weights are still the same
            exact = cases["dropped at the head"].gradient()
            cosines = {
                name: float(torch.cosine_similarity(case.gradient(), exact, dim=0)) for name, case in cases.items()
            }
    print(
        f"{arguments.preset} {' '.join(arguments.overrides)}, {rows} x {seq} tokens a step, {arguments.dropped:.0%} dropped"
    )
    print("| case | backward ms | ratio | step ms | ratio | gradient |\n|---|---|---|---|---|---|")
    first = next(iter(cases.values()))
    for name, case in cases.items():
        figures = []
        for own, others in ((case.backwards, first.backwards), (case.steps, first.steps)):
            median = statistics.median(own[2:])
            figures.append(f"{median * 1000:.0f} | {median / statistics.median(others[2:]):.2f}")
        print(f"| {name} | {' | '.join(figures)} | {cosines[name]:.3f} |")


if __name__ == "__main__":
    main()
