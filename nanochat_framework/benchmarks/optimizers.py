"""One small model trained by each optimizer to the same tokens, and what that cost and reached.

The first `[[optimizer]]` table of a configuration is given to each optimizer in turn, the others stay. Learning rates
are searched, or the comparison would be one of defaults: every optimizer takes half a decade up or down from its
configured rate on the first seed until both neighbours of its best rate are worse; the other seeds use the best.

Runs of one wave share their batches and take turns step by step, so that what else the machine does falls on all of them
alike and their times can be compared.
"""

from __future__ import annotations

import hashlib
import json
import math
import statistics
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import torch

from nanochat_framework.config.checks import LEARNING_RATE
from nanochat_framework.config.load import load_config
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.data.loader import PrefetchLoader
from nanochat_framework.data.progress import ProgressFactory
from nanochat_framework.data.token_store import read_data_json
from nanochat_framework.errors import UsageError
from nanochat_framework.plugins.registry import Registry
from nanochat_framework.runs.jsonlines import Record, number
from nanochat_framework.training.setup import configure_process
from nanochat_framework.training.train_module import TrainModule
from nanochat_framework.training.training_data import TrainingData

CONFIG = Path(__file__).with_name("optimizers.toml")
"""What is trained unless another configuration is named."""
WIDEST = 6
"""Half decades from the configured rate at which the search ends."""


@dataclass(frozen=True)
class Case:
    """A run: an optimizer at its configured learning rate times 10^(exponent / 2), with a seed."""

    optimizer: str
    exponent: int
    seed: int


@dataclass(frozen=True)
class Setting:
    """What all runs share. `own` are KEY=VALUE settings by optimizer; `data` is a folder that prepare-data wrote."""

    config: str | Path
    registry: Registry
    data: Path
    steps: int
    own: Mapping[str, Sequence[str]]

    def resolve(self, case: Case) -> RunConfig:
        """The configuration of a run. Raises ConfigError, and UsageError for a rate that cannot be scaled."""
        path = json.dumps(str(self.data / "tokens.bin"))
        overrides = [f"train.steps={self.steps}", f"train.seed={case.seed}", f"data.source.path={path}"]
        if case.optimizer != self._load(overrides).optimizer[0].component.name:
            overrides.append(f"optimizer.0.name={json.dumps(case.optimizer)}")
        overrides += [f"optimizer.0.{setting}" for setting in self.own.get(case.optimizer, ())]
        config = self._load(overrides)
        if not case.exponent:
            return config
        rate = getattr(config.optimizer[0].component.config, LEARNING_RATE, None)
        if rate is None:
            raise UsageError(f"{case.optimizer} has no learning rate to search; --no-search takes it as it is")
        return self._load([*overrides, f"optimizer.0.{LEARNING_RATE}={rate * 10 ** (case.exponent / 2):.4g}"])

    def _load(self, overrides: Sequence[str]) -> RunConfig:
        return load_config(self.config, registry=self.registry, overrides=overrides).config


class Results:
    """Finished runs, looked up by all that decides what a run gives: its configuration and the checksums of its data."""

    def __init__(self, setting: Setting, lines: Sequence[Record], keep: Callable[[Record], None]) -> None:
        """`lines` were kept earlier; `keep` is given each new one."""
        self.setting, self._keep = setting, keep
        self._lines = {line.get("key"): line for line in lines}
        self._keys: dict[Case, str] = {}

    def get(self, case: Case) -> Record | None:
        """The line of a run, None if it is not done."""
        if case not in self._keys:
            self._keys[case] = _key(self.setting.resolve(case))
        return self._lines.get(self._keys[case])

    def add(self, case: Case, line: Record) -> None:
        """Take in the line of a run."""
        line = {"key": _key(self.setting.resolve(case)), **line}
        self._lines[line["key"]] = line
        self._keep(line)

    def score(self, case: Case) -> float | None:
        """Held-out bits per byte, infinite where the run diverged; None if it is not done."""
        line = self.get(case)
        if line is None:
            return None
        score = float(number(line["bits_per_byte"]))
        return score if math.isfinite(score) else math.inf

    def search(self, optimizer: str, seed: int) -> tuple[int, int | None]:
        """The best exponent so far, and the one to be tried next: None when both neighbours are worse."""
        best = 0
        best_score = self.score(Case(optimizer, 0, seed))
        if best_score is None:
            return 0, 0
        for direction in (1, -1):
            while abs(best + direction) <= WIDEST:
                score = self.score(Case(optimizer, best + direction, seed))
                if score is None:
                    return best, best + direction
                if not score < best_score:
                    break
                best, best_score = best + direction, score
        return best, None


def check(setting: Setting, optimizer: str) -> None:
    """Build what would be trained. Raises UsageError if that cannot be done here."""
    TrainModule(setting.resolve(Case(optimizer, 0, 0)), torch.device("cpu"))


def run_benchmark(
    results: Results, optimizers: Sequence[str], seeds: Sequence[int], *, search: bool, progress: ProgressFactory
) -> None:
    """Do all runs that are missing."""
    while wave := next_wave(results, optimizers, seeds, search=search):
        seed = wave[0].seed
        with progress(f"seed {seed}, {', '.join(case.optimizer for case in wave)}", results.setting.steps) as bar:
            for case, line in zip(wave, train_together(results.setting, wave, bar.advance), strict=True):
                results.add(case, line)


def next_wave(results: Results, optimizers: Sequence[str], seeds: Sequence[int], *, search: bool) -> list[Case]:
    """The runs that can take turns next; empty when all is done."""
    found = {name: results.search(name, seeds[0]) if search else (0, 0) for name in optimizers}
    wave = [Case(name, wanted, seeds[0]) for name, (_, wanted) in found.items() if wanted is not None]
    wave = [case for case in wave if results.get(case) is None]
    if wave:
        return wave
    for seed in seeds:
        wave = [Case(name, best, seed) for name, (best, _) in found.items()]
        wave = [case for case in wave if results.get(case) is None]
        if wave:
            return wave
    return []


def train_together(setting: Setting, wave: Sequence[Case], advance: Callable[[float], None]) -> list[Record]:
    """Train the runs of a wave, which share a seed, step by step in turn; a line for each, in their order."""
    configs = [setting.resolve(case) for case in wave]
    device = configure_process(configs[0], setting.registry)
    modules = [TrainModule(config, device) for config in configs]
    data = TrainingData(configs[0])
    held_out = data.held_out()
    if held_out is None:
        raise UsageError(f"{setting.data}: holds no held-out text; prepare it with a --validation-fraction above 0")
    seconds: list[list[float]] = [[] for _ in wave]
    skipped = [0] * len(wave)
    loader = PrefetchLoader(data.plan())
    try:
        for step in range(1, setting.steps + 1):
            batches = loader.next()
            for turn in range(len(wave)):
                at = (turn + step) % len(wave)  # so that no run always follows the same one
                started = perf_counter()
                skipped[at] += bool(modules[at].step(batches, step).skipped)
                if device.type == "cuda":
                    torch.cuda.synchronize(device)
                seconds[at].append(perf_counter() - started)
            advance(1)
    finally:
        loader.close()
    group = uuid.uuid4().hex[:8]
    return [
        {
            "optimizer": case.optimizer,
            "lr": getattr(config.optimizer[0].component.config, LEARNING_RATE, None),
            "exponent": case.exponent,
            "seed": case.seed,
            "steps": setting.steps,
            "bits_per_byte": held_out.score(module.model).get("eval/bits_per_byte", math.nan),
            **_measured_state(module),
            "seconds_per_step": statistics.median(times[1:] or times),
            "together": group,
            "skipped_steps": skips,
        }
        for case, config, module, times, skips in zip(wave, configs, modules, seconds, skipped, strict=True)
    ]


def _measured_state(module: TrainModule) -> Record:
    """Bytes of the tensors that the exchanged optimizer keeps, of how many parameters; and of all of the run."""
    group = module.optimizers.groups[0].optimizer
    state = [tensor for slots in group.state().values() for tensor in slots.values()]
    return {
        "parameters": sum(parameter.tensor.numel() for parameter in group.parameters),
        "state_bytes": sum(tensor.nbytes for tensor in state),
        "all_parameters": sum(parameter.tensor.numel() for parameter in module.parameters),
        "all_state_bytes": sum(tensor.nbytes for tensor in module.optimizers.state_tensors().values()),
    }


def _key(config: RunConfig) -> str:
    described = config.to_dict()
    tokens = Path(described["data"]["source"]["path"])
    facts = read_data_json(tokens.parent)
    assert facts is not None
    described["data"]["source"] = {name: each["sha256"] for name, each in facts["files"].items()}
    return hashlib.sha256(json.dumps(described, sort_keys=True, default=str).encode()).hexdigest()[:16]
