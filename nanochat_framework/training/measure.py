"""A few real training steps, timed and weighed, in a process of their own.

    python -m nanochat_framework.training.measure SECONDS < config.resolved.json > measurement.json

`planning.measurement` starts it. The model is built and trained as `nanochat train` does, on random tokens, so no data
is needed; nothing is written but the result, one JSON object.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import torch

from nanochat_framework.config.load import validate
from nanochat_framework.config.phases import Phase, largest_phase
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.data.loader import Batch
from nanochat_framework.errors import NanochatError
from nanochat_framework.plugins import load_plugins
from nanochat_framework.plugins.registry import Registry
from nanochat_framework.training.out_of_memory import explained, is_out_of_memory
from nanochat_framework.training.process_memory import forget_peak, peak_bytes, resident_bytes
from nanochat_framework.training.setup import configure_process
from nanochat_framework.training.train_module import TrainModule

LEAST_STEPS, WARMUP_STEPS = 4, 2
"""The allocator's holes and the optimizers' state are there after two steps; timing begins with the third."""


def measure(config: RunConfig, registry: Registry, device: torch.device, seconds: float) -> dict[str, Any]:
    """Train for `seconds`, at least LEAST_STEPS steps.

    Returns the median time of a step, tokens per second, the bytes that the process took before anything was built
    (`idle_bytes`) and at most in training (`peak_bytes`); on a GPU of its memory, elsewhere of the resident set.
    """
    shape = largest_phase(config)
    _warm_up(device)
    idle = _forget(device)
    module = TrainModule(config, device)
    module.prepare_objectives(registry)
    times: list[float] = []
    begin = time.perf_counter()
    while len(times) < LEAST_STEPS or time.perf_counter() - begin < seconds:
        batches = [_batch(config, shape) for _ in range(shape.gradient_accumulation)]
        started = time.perf_counter()
        module.step(batches, len(times) + 1)
        _wait(device)
        times.append(time.perf_counter() - started)
    timed = sorted(times[WARMUP_STEPS:])
    step_seconds = timed[len(timed) // 2]
    return {
        "device": device.type,
        "threads": torch.get_num_threads(),
        "steps": len(times),
        "seconds_per_step": step_seconds,
        "tokens_per_second": shape.tokens_per_step / step_seconds,
        "idle_bytes": idle,
        "peak_bytes": _peak(device),
    }


def _batch(config: RunConfig, shape: Phase) -> Batch:
    tokens = torch.randint(0, config.model.config.vocab_size, (shape.batch_size, shape.seq_len + 1))
    return Batch(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous())


def _warm_up(device: torch.device) -> None:
    """A product, so that the libraries behind it are loaded before idle memory is read."""
    small = torch.ones(64, 64, device=device, requires_grad=True)
    torch.autograd.backward((small @ small).sum())
    _wait(device)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
    elif device.type == "mps":
        torch.mps.synchronize()


def _forget(device: torch.device) -> int:
    """Bytes in use now; the peak counts from here."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return int(torch.cuda.memory_reserved())
    if device.type == "mps":
        return int(torch.mps.driver_allocated_memory())
    forget_peak()
    return resident_bytes()


def _peak(device: torch.device) -> int:
    """On CUDA what the allocator reserved at most; on MPS, which keeps no peak, what the driver holds at the end."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_reserved())
    return int(torch.mps.driver_allocated_memory()) if device.type == "mps" else peak_bytes()


def main() -> int:
    """Read a resolved configuration, train, write the result."""
    registry = load_plugins().registry
    config = validate(json.load(sys.stdin), registry, lambda location: "the configuration")
    device = configure_process(config, registry)
    try:
        result = measure(config, registry, device, float(sys.argv[1]))
    except Exception as error:
        raise (explained(config, device.type, None) if is_out_of_memory(error) else error) from error
    json.dump(result, sys.stdout)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except NanochatError as problem:
        print(problem, file=sys.stderr)
        sys.exit(problem.exit_code)
