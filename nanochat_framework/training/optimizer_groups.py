"""Parameters in groups, one for each `[[optimizer]]` table, with hyperparameters that follow schedules.

The learning rate of update k is the configured one times the schedule's multiplier at k: computed from the step's
number when the step is taken, held nowhere, so a first step, a resumed one and one past the end need no special case.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from nanochat_framework.config.checks import LEARNING_RATE
from nanochat_framework.config.component import ComponentConfig
from nanochat_framework.config.rules import OptimizerRule, first_match
from nanochat_framework.config.selection import Selected
from nanochat_framework.contracts.optimizer import NamedParameter, Optimizer, OptimizerState
from nanochat_framework.contracts.schedule import Schedule
from nanochat_framework.errors import UsageError
from nanochat_framework.model import roles


@dataclass
class OptimizerGroup:
    """An optimizer with the configured values of its scheduled hyperparameters, and the schedules of some of them.

    `chosen` are the schedules as configured, `schedules` what they are over the steps of this run.
    """

    name: str
    optimizer: Optimizer
    values: Mapping[str, float]
    chosen: Mapping[str, Selected[Any]]
    schedules: Mapping[str, Schedule] = field(default_factory=dict)

    def hyperparameters(self, step: int) -> dict[str, float]:
        """What update number `step` uses."""
        return {
            name: value * self.schedules[name].multiplier(step) if name in self.schedules else value
            for name, value in self.values.items()
        }


class OptimizerGroups:
    """All optimizers of a run. A table that takes no parameter makes no group."""

    def __init__(
        self,
        parameters: Sequence[NamedParameter],
        rules: tuple[OptimizerRule, ...],
        schedule: Selected[Any],
        total_steps: int,
    ) -> None:
        """Build them; the first rule that matches a parameter's role or name takes it, unless no optimizer may have it.

        Raises UsageError for a parameter that no rule takes, and for a schedule of a hyperparameter that has none.
        """
        self.parameters = tuple(parameter for parameter in parameters if roles.is_optimised(parameter.role))
        self.lr_scale = 1.0
        """Factor of every learning rate, beside its schedule."""
        taken = _taken(self.parameters, rules)
        names = group_names(rules)
        self.groups: list[OptimizerGroup] = []
        for index, rule in enumerate(rules):
            values = scheduled_values(rule.component.config)
            chosen = _schedules(rule, schedule, f"optimizer.{index}", values)
            if taken[index]:
                optimizer = rule.component.build(parameters=taken[index])
                self.groups.append(OptimizerGroup(names[index], optimizer, values, chosen))
        self.schedule_over(total_steps)

    def schedule_over(self, total_steps: int) -> None:
        """Let the schedules end at that step from now on."""
        for group in self.groups:
            group.schedules = {name: each.build(total_steps=total_steps) for name, each in group.chosen.items()}

    def step(self, step: int) -> None:
        """Apply update number `step`, counted from 1."""
        for group in self.groups:
            group.optimizer.step(self._hyperparameters(group, step))

    def zero_grad(self) -> None:
        """Let go of all gradients."""
        for parameter in self.parameters:
            parameter.tensor.grad = None

    def learning_rates(self, step: int) -> dict[str, float]:
        """Learning rate of each group that has one at update number `step`."""
        rates = {group.name: self._hyperparameters(group, step).get(LEARNING_RATE) for group in self.groups}
        return {name: rate for name, rate in rates.items() if rate is not None}

    def _hyperparameters(self, group: OptimizerGroup, step: int) -> dict[str, float]:
        values = group.hyperparameters(step)
        if LEARNING_RATE in values:
            values[LEARNING_RATE] *= self.lr_scale
        return values

    def state_tensors(self) -> dict[str, Tensor]:
        """The live state, flat: `parameter name/slot` -> tensor. Slots have no slash in their names."""
        return {
            f"{name}/{slot}": tensor
            for group in self.groups
            for name, slots in group.optimizer.state().items()
            for slot, tensor in slots.items()
        }

    def load_state_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Continue from what `state_tensors` gave; from nothing at all, start fresh.

        State belongs to parameters, not to groups, so tables may have been regrouped since. Raises UsageError, in one
        line, if a tensor belongs to no parameter, is missing, or does not fit.
        """
        known = {parameter.name for parameter in self.parameters}
        state: OptimizerState = {}
        for key, tensor in tensors.items():
            name, _, slot = key.rpartition("/")
            if name not in known:
                raise UsageError(f"optimizer state {key}: the model has no parameter {name!r}")
            state.setdefault(name, {})[slot] = tensor
        missing = sorted(self.state_tensors().keys() - tensors.keys()) if tensors else []
        if missing:
            others = f", and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise UsageError(f"optimizer state: {missing[0]} is missing{others}")
        for group in self.groups:
            own = {parameter.name for parameter in group.optimizer.parameters}
            try:
                group.optimizer.load_state({name: slots for name, slots in state.items() if name in own})
            except ValueError as error:
                raise UsageError(f"optimizer state of group {group.name}: {error}") from None


def group_names(rules: Sequence[OptimizerRule]) -> list[str]:
    """A unique name for each rule: its optimizer's, and for a second one of a kind `lion_2`."""
    names: list[str] = []
    for rule in rules:
        base = rule.component.name
        name, number = base, 1
        while name in names:
            number += 1
            name = f"{base}_{number}"
        names.append(name)
    return names


def scheduled_values(config: ComponentConfig) -> dict[str, float]:
    """The values of the fields that a configuration declares with `config.component.scheduled`."""
    values: dict[str, float] = {}
    for name, info in type(config).model_fields.items():
        extra = info.json_schema_extra
        if isinstance(extra, dict) and extra.get("scheduled"):
            values[name] = float(getattr(config, name))
    return values


def _taken(parameters: Sequence[NamedParameter], rules: tuple[OptimizerRule, ...]) -> list[list[NamedParameter]]:
    """The parameters of each rule."""
    taken: list[list[NamedParameter]] = [[] for _ in rules]
    left: list[NamedParameter] = []
    for parameter in parameters:
        index = first_match(rules, parameter.name, parameter.role)
        (left if index is None else taken[index]).append(parameter)
    if left:
        others = f" (and {len(left) - 1} more)" if len(left) > 1 else ""
        raise UsageError(
            f"no [[optimizer]] table takes {left[0].name}, role {left[0].role!r}{others}; the tables match "
            f"{', '.join(repr(rule.match) for rule in rules)}; add one with match = {left[0].role!r} or match = '*'"
        )
    return taken


def _schedules(
    rule: OptimizerRule, default: Selected[Any], path: str, values: Mapping[str, float]
) -> dict[str, Selected[Any]]:
    """The schedules of a rule by hyperparameter; `path` is the rule's in the configuration, for messages."""
    if LEARNING_RATE in rule.schedules:
        raise UsageError(f"{path}.schedules.{LEARNING_RATE}: write it as schedule = {{ ... }} in this table")
    chosen = dict(rule.schedules)
    if rule.schedule is not None or LEARNING_RATE in values:
        chosen[LEARNING_RATE] = rule.schedule or default
    unknown = next((name for name in chosen if name not in values), None)
    if unknown is not None:
        key = "schedule" if unknown == LEARNING_RATE else f"schedules.{unknown}"
        raise UsageError(
            f"{path}.{key}: {rule.component.name} has no hyperparameter {unknown!r} that follows a schedule; it has "
            f"{', '.join(values) or 'none'}"
        )
    return chosen
