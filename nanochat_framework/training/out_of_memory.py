"""Running out of memory, told in one line with the micro-batch that would fit."""

from __future__ import annotations

import torch

from nanochat_framework.config.phases import largest_phase
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.errors import NanochatError
from nanochat_framework.machine.memory import memory
from nanochat_framework.planning.memory import largest_batch_size


class OutOfMemory(NanochatError):
    """The device's memory is used up; checkpoints are untouched."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception of torch or Python means that memory is used up."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def explained(config: RunConfig, device: str, latest_checkpoint: str | None) -> OutOfMemory:
    """The line: what does not fit, what would, and what is safe."""
    shape, usual = largest_phase(config), (config.train.batch_size, config.data.seq_len)
    most = min(_fitting(config, device) or shape.batch_size // 2, shape.batch_size - 1)
    smaller, more = as_many(shape.rows_per_step, most)
    if smaller < 1:
        advice = "a shorter data.seq_len or a smaller model (`nanochat plan` shows what takes the memory)"
    elif (shape.batch_size, shape.seq_len) == usual:
        advice = f"--set train.batch_size={smaller} --set train.gradient_accumulation={more}"
    else:
        advice = f"batch_size = {smaller} with gradient_accumulation = {more} in the [[data.phase]] that is so large"
    safe = f"checkpoint {latest_checkpoint} is intact" if latest_checkpoint else "no checkpoint was written yet"
    return OutOfMemory(
        f"out of memory with train.batch_size={shape.batch_size} and data.seq_len={shape.seq_len}; try {advice}; {safe}"
    )


def as_many(rows: int, most: int) -> tuple[int, int]:
    """Micro-batch and how many of them make a step of `rows` sequences, where one has `most` at most.

    Exactly as many, so that the losses stay the same, unless that would take micro-batches of less than half of what fits;
    then a few more. (0, 0) where nothing fits.
    """
    if most < 1:
        return 0, 0
    exact = next(size for size in range(most, 0, -1) if rows % size == 0)
    smaller = exact if 2 * exact >= most else most
    return smaller, -(-rows // smaller)


def _fitting(config: RunConfig, device: str) -> int | None:
    """The largest micro-batch that the plan says fits the memory there is; None if it cannot say."""
    memory = memory_of(device)
    return largest_batch_size(config, memory) if memory else None


def memory_of(device: str) -> int | None:
    """Bytes this process may use on a device; None where the system does not say."""
    if device == "cuda":
        return int(torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory)
    if device != "cpu":
        return None
    found = memory()
    return (found.limit or found.total) or None
