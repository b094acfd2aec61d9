"""Checks that look at more than one section, after each section is valid."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from nanochat_framework.config.problems import Location
from nanochat_framework.config.rules import OptimizerRule, first_match
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.errors import Problem

Where = Callable[[Location], str]


def cross_checks(config: RunConfig, where: Where) -> list[Problem]:
    """Everything wrong between sections."""
    return [*_sequence_fits_model(config, where), *_schedules_are_declared(config, where)]


def _sequence_fits_model(config: RunConfig, where: Where) -> Iterator[Problem]:
    longest = config.model.config.max_seq_len
    if config.data.seq_len > longest:
        location = ("data", "seq_len")
        other = where(("model", "max_seq_len"))
        yield Problem(
            where(location), "data.seq_len", f"{config.data.seq_len} is more than model.max_seq_len {longest} ({other})"
        )


def _schedules_are_declared(config: RunConfig, where: Where) -> Iterator[Problem]:
    for number, rule in enumerate(config.optimizer):
        allowed = scheduled_fields(rule)
        for name in rule.schedules:
            if name not in allowed:
                location = ("optimizer", number, "schedules", name)
                yield Problem(
                    where(location),
                    ".".join(map(str, location)),
                    f"optimizer {rule.component.name} has no scheduled hyperparameter of that name; it has: {', '.join(allowed)}",
                )


def scheduled_fields(rule: OptimizerRule) -> list[str]:
    """Hyperparameters of a rule's optimizer that schedules may scale."""
    fields: dict[str, Any] = type(rule.component.config).model_fields
    return [name for name, field in fields.items() if (field.json_schema_extra or {}).get("scheduled")]


def warnings_about(config: RunConfig) -> Iterator[str]:
    """What is allowed and yet probably not meant."""
    warmup = getattr(config.schedule.config, "warmup_steps", 0)
    if warmup >= config.train.steps:
        yield f"schedule.warmup_steps {warmup} is not below train.steps {config.train.steps}: the warm-up never ends"
    try:
        tensors = config.model.config.describe().tensors()
    except ValueError:
        return  # a component does not describe itself
    for section, rules in (("optimizer", config.optimizer), ("quantizer", config.quantizer)):
        used = {first_match(rules, tensor.name, tensor.role) for tensor in tensors}
        for number, rule in enumerate(rules):
            if number not in used:
                yield f"{section}.{number}: match = {rule.match!r} takes no parameter of this model"
