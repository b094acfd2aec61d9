"""A configuration's whole plan, as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from nanochat_framework.config.phases import Phase, planned_tokens, training_phases
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.errors import UsageError
from nanochat_framework.planning.disk import Disk, disk
from nanochat_framework.planning.duration import Duration, Speed, duration, speed_of_device, with_steps_of_hours
from nanochat_framework.planning.flops import FlopsPerToken, flops_per_token
from nanochat_framework.planning.inventory import Inventory, take_inventory
from nanochat_framework.planning.measurement import Measurement
from nanochat_framework.planning.memory import MemoryPlan, MemoryRow, memory_rows, plan_memory
from nanochat_framework.planning.parameters import ParameterCount, Part, count_parameters


@dataclass(frozen=True)
class Plan:
    """Parameters, operations, memory by batch size, length of the run and disk. Make one with `make_plan`."""

    name: str
    config: RunConfig
    inventory: Inventory
    parameters: ParameterCount
    flops: FlopsPerToken
    memory: MemoryPlan
    rows: tuple[MemoryRow, ...]
    budget: int | None
    """Bytes of memory asked about."""
    duration: Duration | None
    """None without a speed."""
    measurement: Measurement | None
    """None unless some steps were run."""

    @property
    def tokens_per_step(self) -> int:
        """Tokens in one optimizer step, of the last phase of training."""
        return self.phases[-1].tokens_per_step

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases of training; one, where the configuration names none."""
        return training_phases(self.config)

    @property
    def tokens(self) -> int:
        """Tokens in the whole run."""
        return planned_tokens(self.config)

    @property
    def training_flops(self) -> float:
        """Operations of the whole run."""
        return training_flops(self.config, self.inventory)

    @property
    def disk(self) -> Disk:
        """What the run's files take."""
        return disk(self.config, self.memory)

    @property
    def configured(self) -> MemoryRow:
        """The memory of the configured micro-batch."""
        return self.memory.row(self.memory.shape.batch_size)

    @property
    def largest_batch_size(self) -> int | None:
        """For the budget; None without one, or where something does not state its memory."""
        return None if self.budget is None else self.memory.largest_batch_size(self.budget)

    def fits(self, row: MemoryRow) -> bool | None:
        """Whether a row fits the budget; None where that cannot be told."""
        if self.budget is None:
            return None
        if row.total > self.budget:
            return False
        return True if row.complete else None

    def to_dict(self) -> dict[str, Any]:
        """Plain data, the output of `nanochat plan --json`."""
        return {
            "config": self.name,
            "parameters": _parameters(self.parameters),
            "flops_per_token": {
                "forward": self.flops.forward,
                "training": self.flops.training,
                "training_full_attention": self.flops.training_full_attention,
                "training_6n": self.flops.training_6n,
            },
            "run": {
                "steps": self.config.train.steps,
                "tokens_per_step": self.tokens_per_step,
                "tokens": self.tokens,
                "tokens_per_parameter": self.tokens / self.parameters.total,
                "flops": self.training_flops,
                "phases": [self._phase(phase) for phase in self.phases],
            },
            "disk": self.disk.to_dict(),
            "duration": None if self.duration is None else self.duration.to_dict(),
            "memory": {
                "device": self.memory.device,
                "seq_len": self.memory.shape.seq_len,
                "precision": self.config.train.precision,
                "complete": self.memory.complete,
                "budget_bytes": self.budget,
                "largest_batch_size": self.largest_batch_size,
                "optimizers": [asdict(group) for group in self.memory.groups],
                "measured": None if self.measurement is None else asdict(self.measurement),
                "rows": [self._row(row) for row in self.rows],
            },
            "estimated_components": list(self.flops.estimated),
        }

    def _phase(self, phase: Phase) -> dict[str, int]:
        return {
            "first_step": phase.first_step + 1,
            "last_step": phase.end_step,
            "seq_len": phase.seq_len,
            "batch_size": phase.batch_size,
            "gradient_accumulation": phase.gradient_accumulation,
            "tokens_per_step": phase.tokens_per_step,
        }

    def _row(self, row: MemoryRow) -> dict[str, Any]:
        items: dict[str, int | None] = {**row.items(), "optimizer": row.state}
        return {
            "batch_size": row.batch_size,
            "peak": row.phase,
            "bytes": items,
            "total_bytes": row.total,
            "headroom_bytes": None if self.budget is None else self.budget - row.total,
            "fits": self.fits(row),
        }


@dataclass(frozen=True)
class DeviceSpeed:
    """A device by its peak, operations per second, and the share of it that training reaches (0 to 1)."""

    flops_per_second: float
    mfu: float


def make_plan(
    config: RunConfig,
    *,
    name: str,
    batch_sizes: Sequence[int] = (),
    memory_bytes: int | None = None,
    speed: Speed | DeviceSpeed | None = None,
    measurement: Measurement | None = None,
    price_per_hour: float | None = None,
) -> Plan:
    """Plan a configuration; batch sizes default to powers of two around the configured one.

    Time and cost need a speed, stated or measured, and so do the steps of `train.max_hours`. Raises UsageError where it has
    none, and for a parameter that no `[[optimizer]]` table takes.
    """
    inventory = take_inventory(config)
    if isinstance(speed, DeviceSpeed):
        speed = speed_of_device(speed.flops_per_second, speed.mfu, config, training_flops(config, inventory))
    elif measurement is not None:
        speed = Speed(measurement.tokens_per_second, f"measured here, {measurement.steps} steps")
    if speed is not None:
        config = with_steps_of_hours(config, speed)
    if config.train.steps is None:
        raise UsageError(
            "train.max_hours leaves the number of steps open; say how fast training is (--measure, --tokens-per-second "
            "or --flops), or how many steps there are (--set train.steps=N)"
        )
    memory = plan_memory(config, inventory)
    return Plan(
        name=name,
        config=config,
        inventory=inventory,
        parameters=count_parameters(inventory),
        flops=flops_per_token(inventory, memory.shape.seq_len),
        memory=memory,
        rows=tuple(memory_rows(memory, batch_sizes or default_batch_sizes(memory.shape.batch_size))),
        budget=memory_bytes,
        duration=None if speed is None else duration(config, speed, price_per_hour),
        measurement=measurement,
    )


def training_flops(config: RunConfig, inventory: Inventory) -> float:
    """Operations of the whole run; shorter sequences take fewer for each token."""
    return sum(
        flops_per_token(inventory, phase.seq_len).training * phase.steps * phase.tokens_per_step
        for phase in training_phases(config)
    )


def default_batch_sizes(configured: int) -> list[int]:
    """1, and the configured size with its half, double and fourfold."""
    return sorted({1, max(1, configured // 2), configured, 2 * configured, 4 * configured})


def _parameters(count: ParameterCount) -> dict[str, Any]:
    return {
        "total": count.total,
        "active": count.active,
        "parts": [_part(part, count) for part in count.parts],
        "by_role": count.by_role,
        "objectives": count.objectives,
    }


def _part(part: Part, count: ParameterCount) -> dict[str, Any]:
    own = {"name": part.name, "parameters": part.parameters, "share": count.share(part)}
    return {**own, "parts": [_part(inner, count) for inner in part.parts]} if part.parts else own
