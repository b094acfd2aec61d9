"""The processes that train one run together, one a device; a single process is a world of one.

Every process holds the whole model and sees its share of a step's rows. Gradients, counts and losses are summed over
all of them, so what a step does depends on its rows alone, not on how many processes share them out. Only process 0
writes files. Decisions that read a clock or a signal are agreed on, or processes would part ways.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from nanochat_framework.errors import NanochatError, UsageError
from nanochat_framework.training.processes import RENDEZVOUS

BUCKET_ELEMENTS = 2**24
"""Gradients are summed this many numbers at a time: few messages, little extra memory (64 MiB in float32)."""
TIMEOUT = timedelta(minutes=10)
"""How long a process waits for another before it gives the run up."""


@dataclass(frozen=True)
class World:
    """`rank` of `size` processes. All methods that exchange anything are called by every process, in the same order."""

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes the run's files and talks to the person."""
        return self.rank == 0

    def sum_values(self, values: Sequence[float]) -> list[float]:
        """Sums of numbers over all processes, in float64 on the CPU."""
        if self.size == 1:
            return list(values)
        packed = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(packed)
        return [float(value) for value in packed]

    def largest(self, value: float) -> float:
        """The largest of all processes' values."""
        if self.size == 1:
            return value
        packed = torch.tensor(value, dtype=torch.float64)
        dist.all_reduce(packed, op=dist.ReduceOp.MAX)
        return float(packed)

    def agreed(self, value: Any) -> Any:
        """Process 0's value, in all processes; plain JSON data."""
        if self.size == 1:
            return value
        holder = [json.dumps(value) if self.is_main else None]
        dist.broadcast_object_list(holder, src=0, device=torch.device("cpu"))
        return json.loads(str(holder[0]))

    def from_main(self, action: Callable[[], Any]) -> Any:
        """What `action` returns in process 0, in all processes; plain JSON data.

        If it raises a NanochatError there, the other processes end with the same exit code and without a word.
        """
        if not self.is_main:
            told = self.agreed(None)
            if "exit_code" in told:
                raise SystemExit(told["exit_code"])
            return told["value"]
        try:
            value = action()
        except NanochatError as error:
            self.agreed({"exit_code": error.exit_code})
            raise
        self.agreed({"value": value})
        return value

    def sum_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Replace every `.grad` by its sum over all processes. One that some process lacks counts as zero there."""
        if self.size == 1:
            return
        wanted = list(parameters)
        present = self.sum_values([float(parameter.grad is not None) for parameter in wanted])
        for parameter, count in zip(wanted, present, strict=True):
            if count and parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        for bucket in _buckets([p.grad for p in wanted if p.grad is not None]):
            flat = torch.cat([gradient.flatten() for gradient in bucket])
            dist.all_reduce(flat)
            parts = torch.split(flat, [gradient.numel() for gradient in bucket])
            for gradient, part in zip(bucket, parts, strict=True):
                gradient.copy_(part.view_as(gradient))


def _buckets(gradients: list[Tensor]) -> Iterator[list[Tensor]]:
    """Consecutive gradients of one dtype, BUCKET_ELEMENTS or a single one at a time."""
    bucket: list[Tensor] = []
    for gradient in gradients:
        full = sum(g.numel() for g in bucket) + gradient.numel() > BUCKET_ELEMENTS
        if bucket and (full or bucket[0].dtype != gradient.dtype):
            yield bucket
            bucket = []
        bucket.append(gradient)
    if bucket:
        yield bucket


@contextmanager
def joined_world() -> Iterator[World]:
    """Join the processes that the environment tells of, as `nanochat train --nproc` and torchrun set it.

    A world of one where it tells of none. Raises UsageError for an environment that makes no sense.
    """
    if "WORLD_SIZE" not in os.environ:
        yield World()
        return
    rank, size, local = (_number(name) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    if torch.cuda.is_available():
        if local >= torch.cuda.device_count():
            raise UsageError(f"{local + 1} processes on this machine, which has {torch.cuda.device_count()} GPUs")
        torch.cuda.set_device(local)
    meeting = os.environ.get(RENDEZVOUS)
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo",
        store=dist.FileStore(meeting, size) if meeting else None,  # type: ignore[attr-defined]
        rank=rank,
        world_size=size,
        timeout=TIMEOUT,
    )
    try:
        yield World(rank, size)
    finally:
        dist.destroy_process_group()


def _number(name: str) -> int:
    try:
        return int(os.environ[name])
    except (KeyError, ValueError):
        raise UsageError(f"WORLD_SIZE is set and {name} is no number; start with torchrun or with --nproc") from None
