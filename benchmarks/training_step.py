"""How long a training step takes, and what it takes besides: precision, torch.compile, activation checkpointing.

    python benchmarks/training_step.py --preset tiny-cpu [--repeats 9] [--batch-size 8]

The cases take turns, so that whatever else the machine does falls on all of them alike; the figure is the median, and the
ratio is to the first case within this run. On CUDA the peak of allocated memory is shown too.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass
from typing import Any

import torch

from nanochat_framework.config.load import load_config
from nanochat_framework.data.loader import Batch
from nanochat_framework.plugins import load_plugins
from nanochat_framework.training.setup import configure_process
from nanochat_framework.training.train_module import TrainModule

CASES: dict[str, dict[str, Any]] = {
    "fp32": {},
    "fp32, compiled": {"compile": True},
    "bf16": {"precision": "bf16"},
    "bf16, compiled": {"precision": "bf16", "compile": True},
    "fp32, selective": {"activation_checkpointing": "selective"},
    "fp32, block": {"activation_checkpointing": "block"},
}


@dataclass
class Case:
    """A module with what was measured of it."""

    module: TrainModule
    seconds: list[float]
    peak_bytes: int = 0

    def step(self, batch: Batch, number: int) -> None:
        """One measured step."""
        device = self.module.device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        started = time.perf_counter()
        self.module.step([batch], number)
        if device.type == "cuda":
            torch.cuda.synchronize()
            self.peak_bytes = torch.cuda.max_memory_allocated()
        self.seconds.append(time.perf_counter() - started)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="tiny-cpu")
    parser.add_argument("--batch-size", type=int, help="sequences in a step (default: the preset's)")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    arguments = parser.parse_args()
    registry = load_plugins().registry
    cases: dict[str, Case] = {}
    for name in arguments.cases:
        overrides = ["data.source.name='synthetic'", "train.steps=100000"]
        overrides += [
            f"train.{key}={str(value).lower() if value is True else repr(value)}" for key, value in CASES[name].items()
        ]
        if arguments.batch_size:
            overrides.append(f"train.batch_size={arguments.batch_size}")
        config = load_config(arguments.preset, registry=registry, overrides=overrides).config
        cases[name] = Case(TrainModule(config, configure_process(config, registry)), [])
    rows, seq = config.train.batch_size, config.data.seq_len
    tokens = torch.randint(config.model.config.vocab_size, (rows, seq + 1))
    batch = Batch(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous())
    for number in range(1, arguments.repeats + 4):  # three rounds warm up: compilation, caches, optimizer state
        for case in cases.values():
            case.step(batch, number)
    first = statistics.median(next(iter(cases.values())).seconds[3:])
    print(f"{arguments.preset}, {rows} x {seq} tokens a step, torch {torch.__version__}")
    print(
        "| case | ms a step | tokens/s | speed against the first |"
        + (" peak MiB |" if torch.cuda.is_available() else "")
    )
    print("|---|---|---|---|" + ("---|" if torch.cuda.is_available() else ""))
    for name, case in cases.items():
        median = statistics.median(case.seconds[3:])
        line = f"| {name} | {median * 1000:.0f} | {rows * seq / median:,.0f} | {first / median:.2f} |"
        print(line + (f" {case.peak_bytes / 2**20:,.0f} |" if torch.cuda.is_available() else ""))


if __name__ == "__main__":
    main()
