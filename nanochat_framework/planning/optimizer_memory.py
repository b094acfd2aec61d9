"""Memory of the optimizers: state that stays, and what an update takes while it runs.

An optimizer's configuration may say both, without torch: `state_bytes_per_parameter` (a number) or `state_bytes(shapes)`
(bytes, where the shapes matter), and `workspace_bytes(shapes)` (bytes that one update of parameters of these shapes needs
for a moment). Without the first
the plan says "unknown"; without the second it assumes one float32 copy of the group. `library_bytes` (a number) is what
packages that it alone imports take in the process's own memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nanochat_framework.config.rules import OptimizerRule, first_match
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.errors import UsageError
from nanochat_framework.model import roles
from nanochat_framework.model.description import TensorSpec
from nanochat_framework.planning.inventory import Inventory

FP32 = 4


@dataclass(frozen=True)
class GroupMemory:
    """One `[[optimizer]]` table: what it takes and what that costs. `state` is None if the optimizer does not say.

    `libraries` are bytes of the process, not of a GPU.
    """

    optimizer: str
    match: str
    parameters: int
    state: int | None
    workspace: int
    libraries: int = 0


def optimizer_groups(config: RunConfig, inventory: Inventory) -> list[GroupMemory]:
    """The memory of each table that takes parameters. Raises UsageError for a parameter that no table takes."""
    taken: dict[int, list[TensorSpec]] = {}
    for tensor in inventory:
        if not roles.is_optimised(tensor.spec.role):
            continue
        index = first_match(config.optimizer, tensor.spec.name, tensor.spec.role)
        if index is None:
            raise UsageError(
                f"no [[optimizer]] table takes {tensor.spec.name}, role {tensor.spec.role!r}; add one with match = '*'"
            )
        taken.setdefault(index, []).append(tensor.spec)
    return [_group(config.optimizer[index], taken[index]) for index in sorted(taken)]


def _group(rule: OptimizerRule, specs: Sequence[TensorSpec]) -> GroupMemory:
    settings: Any = rule.component.config
    parameters = sum(spec.size for spec in specs)
    each = getattr(settings, "state_bytes_per_parameter", None)
    by_shape = getattr(settings, "state_bytes", None)
    shapes = [spec.shape for spec in specs]
    state = None if each is None else int(each * parameters)
    workspace = getattr(settings, "workspace_bytes", None)
    return GroupMemory(
        optimizer=rule.component.name,
        match=rule.match,
        parameters=parameters,
        state=state if by_shape is None else int(by_shape(shapes)),
        workspace=FP32 * parameters if workspace is None else int(workspace(shapes)),
        libraries=int(getattr(settings, "library_bytes", 0)),
    )
