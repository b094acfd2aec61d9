"""Running out of memory, told in one line with the micro-batch that would fit."""

from __future__ import annotations

import torch

from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.errors import NanochatError


class OutOfMemory(NanochatError):
    """The device's memory is used up; checkpoints are untouched."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception of torch or Python means that memory is used up."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def explained(config: RunConfig, latest_checkpoint: str | None) -> OutOfMemory:
    """The line: what does not fit, what would (half the micro-batch with twice the accumulation), what is safe."""
    train = config.train
    if train.batch_size > 1:
        smaller = train.batch_size // 2
        more = -(-train.batch_size * train.gradient_accumulation // smaller)
        advice = f"--set train.batch_size={smaller} --set train.gradient_accumulation={more}"
    else:
        advice = "a shorter data.seq_len or a smaller model (`nanochat plan` shows what takes the memory)"
    safe = f"checkpoint {latest_checkpoint} is intact" if latest_checkpoint else "no checkpoint was written yet"
    return OutOfMemory(
        f"out of memory with train.batch_size={train.batch_size} and data.seq_len={config.data.seq_len}; try {advice}; {safe}"
    )
