"""What a run takes on the disk: its tokens and its checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nanochat_framework.config.phases import planned_tokens
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.planning.memory import MemoryPlan

TOKEN_BYTES = 4
"""Of `tokens.bin`: unsigned, little-endian."""


@dataclass(frozen=True)
class Disk:
    """Bytes of a run's files.

    `tokens_bytes` is a tokens.bin in which the run sees every token once. `checkpoint_bytes` is one checkpoint, weights
    their average and optimizer state (a lower bound where an optimizer does not state its memory). At the end `kept` of them lie
    there: the last ones and `best`, which may be older; `final` is the last one's hard link and takes nothing. While one
    is written, it is there besides.
    """

    tokens_bytes: int
    checkpoint_bytes: int
    kept: int
    written: int

    @property
    def checkpoints_bytes(self) -> int:
        """All that are kept at the end."""
        return self.checkpoint_bytes * self.kept

    @property
    def most_bytes(self) -> int:
        """Checkpoints at most, while the last one is written."""
        return self.checkpoint_bytes * min(self.kept + 1, self.written)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "tokens_bytes": self.tokens_bytes,
            "checkpoint_bytes": self.checkpoint_bytes,
            "checkpoints_kept": self.kept,
            "checkpoints_bytes": self.checkpoints_bytes,
            "checkpoints_most_bytes": self.most_bytes,
        }


def disk(config: RunConfig, memory: MemoryPlan) -> Disk:
    """The files of a run from its configuration."""
    steps, every = config.train.most_steps, config.checkpoint.every
    evaluations = steps // config.eval.every if config.eval.every else 0
    written = -(-steps // every) + evaluations  # each evaluation may be the best so far
    best = 1 if evaluations else 0
    return Disk(
        tokens_bytes=TOKEN_BYTES * planned_tokens(config),
        checkpoint_bytes=memory.weights + memory.average + (memory.state or 0),
        kept=min(config.checkpoint.keep_last + best, written),
        written=written,
    )
