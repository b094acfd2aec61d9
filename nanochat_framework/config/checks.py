"""Checks that look at more than one section, after each section is valid."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from nanochat_framework.config.problems import Location
from nanochat_framework.config.quantization import learned_scales, quantised, traits
from nanochat_framework.config.rules import OptimizerRule, first_match
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.errors import Problem
from nanochat_framework.model import roles
from nanochat_framework.model.description import ModelDescription, TensorSpec

LEARNING_RATE = "lr"
"""The hyperparameter that `[schedule]` is about, and `schedule = { ... }` of an `[[optimizer]]`."""
Where = Callable[[Location], str]


def cross_checks(config: RunConfig, where: Where) -> list[Problem]:
    """Everything wrong between sections."""
    return [
        *_sequence_fits_model(config, where),
        *_sources_have_tokens(config, where),
        *_phases_follow_each_other(config, where),
        *_phases_fit_the_data(config, where),
        *_hours_leave_the_steps_open(config, where),
        *_schedules_are_declared(config, where),
        *_quantizers_find_weights(config, where),
        *_compiled_parts_are_checkpointed_whole(config, where),
        *_compiled_parts_skip_nothing(config, where),
        *_every_parameter_is_optimised(config, where),
        *_optimizers_take_their_tensors(config, where),
    ]


def _sequence_fits_model(config: RunConfig, where: Where) -> Iterator[Problem]:
    longest = config.model.config.max_seq_len
    for location, seq_len in _sequence_lengths(config):
        if seq_len > longest:
            other = where(("model", "max_seq_len"))
            yield _problem(location, f"{seq_len} is more than model.max_seq_len {longest} ({other})", where)


def _sequence_lengths(config: RunConfig) -> Iterator[tuple[Location, int]]:
    yield ("data", "seq_len"), config.data.seq_len
    for number, phase in enumerate(config.data.phase):
        if phase.seq_len is not None:
            yield ("data", "phase", number, "seq_len"), phase.seq_len


def _sources_have_tokens(config: RunConfig, where: Where) -> Iterator[Problem]:
    for number, source in enumerate(config.data.all_sources):
        component = source.component.component
        if component.traits.get("yields") == "documents":
            location: Location = (
                ("data", "sources", number, "name") if config.data.sources else ("data", "source", "name")
            )
            message = f"{component.name} has documents, and a training reads tokens; `nanochat prepare-data` makes them"
            yield _problem(location, message, where)


def _phases_follow_each_other(config: RunConfig, where: Where) -> Iterator[Problem]:
    for key in ("until", "until_tokens"):
        before = 0
        for number, phase in enumerate(config.data.phase):
            end = getattr(phase, key)
            if end is not None and end <= before:
                yield _problem(
                    ("data", "phase", number, key),
                    f"{end:g} is not after {before:g}, where an earlier phase ends",
                    where,
                )
            before = max(before, end or 0)


def _phases_fit_the_data(config: RunConfig, where: Where) -> Iterator[Problem]:
    longest = max(seq_len for _, seq_len in _sequence_lengths(config))
    for location, seq_len in _sequence_lengths(config):
        if longest % seq_len:
            message = f"the longest sequence of this training has {longest} tokens, which {seq_len} does not divide"
            yield _problem(location, message, where)
    n_sources = len(config.data.all_sources)
    for number, phase in enumerate(config.data.phase):
        if phase.weights and len(phase.weights) != n_sources:
            message = f"has {len(phase.weights)} weights for {n_sources} source{'s' if n_sources > 1 else ''}"
            yield _problem(("data", "phase", number, "weights"), message, where)
        elif phase.weights and not any(phase.weights):
            yield _problem(("data", "phase", number, "weights"), "one weight must be above 0", where)
    if not any(source.weight for source in config.data.all_sources):
        yield _problem(("data", "sources"), "the weight of one source must be above 0", where)


def _hours_leave_the_steps_open(config: RunConfig, where: Where) -> Iterator[Problem]:
    """What needs the number of steps cannot go with `max_hours`, which fixes it only when training has begun."""
    if config.train.max_hours is None:
        return
    for number, phase in enumerate(config.data.phase):
        if phase.until is not None:
            message = "is a share of all steps, whose number train.max_hours leaves open; use until_tokens"
            yield _problem(("data", "phase", number, "until"), message, where)
    if all(source.max_epochs for source in config.data.all_sources):
        message = "leaves open how many tokens are needed, so one source must do without max_epochs"
        yield _problem(("train", "max_hours"), message, where)


def _schedules_are_declared(config: RunConfig, where: Where) -> Iterator[Problem]:
    for number, rule in enumerate(config.optimizer):
        allowed = scheduled_fields(rule)
        for name in rule.schedules:
            path = ("optimizer", number, "schedules", name)
            if name == LEARNING_RATE:
                yield _problem(path, "write it as schedule = { ... } in this table", where)
            elif name not in allowed:
                yield _problem(path, _no_such_hyperparameter(rule, allowed), where)
        if rule.schedule is not None and LEARNING_RATE not in allowed:
            yield _problem(("optimizer", number, "schedule"), _no_such_hyperparameter(rule, allowed), where)


def _no_such_hyperparameter(rule: OptimizerRule, allowed: list[str]) -> str:
    what = f"optimizer {rule.component.name} has no scheduled hyperparameter of that name"
    return f"{what}; it has: {', '.join(allowed) or 'none'}"


def _quantizers_find_weights(config: RunConfig, where: Where) -> Iterator[Problem]:
    """A table whose pattern takes parameters, but none that can be quantised, was meant otherwise."""
    description = described(config)
    if description is None:
        return
    used = set(quantised(config.quantizer, description).values())
    for number, rule in enumerate(config.quantizer):
        taken = [t for t in tensors_of(config) or () if first_match(config.quantizer, t.name, t.role) == number]
        if taken and number not in used:
            what = (
                "routers are never quantised" if taken[0].role == roles.ROUTER else "it is no linear map and no table"
            )
            message = (
                f'{rule.match!r} takes {taken[0].name} (role "{taken[0].role}"), which cannot be quantised: {what}'
            )
            yield _problem(("quantizer", number, "match"), message, where)


def _compiled_parts_are_checkpointed_whole(config: RunConfig, where: Where) -> Iterator[Problem]:
    """What "selective" keeps are single operations, and compiled code has none."""
    if config.train.compile and config.train.activation_checkpointing == "selective":
        message = 'cannot be "selective" with compile = true; use "block" or "none"'
        yield _problem(("train", "activation_checkpointing"), message, where)


def _compiled_parts_skip_nothing(config: RunConfig, where: Where) -> Iterator[Problem]:
    """Compiled code has products of fixed sizes, and how many tokens are kept is known in the backward pass only."""
    if config.train.compile and config.token_filter is not None and config.token_filter.skip_layers:
        yield _problem(("token_filter", "skip_layers"), "must be 0 with train.compile = true", where)


def _every_parameter_is_optimised(config: RunConfig, where: Where) -> Iterator[Problem]:
    """The trainer refuses such a configuration too; here it costs no data and no memory to hear of it."""
    wanted = [t for t in tensors_of(config) or () if roles.is_optimised(t.role)]
    left = [t for t in wanted if first_match(config.optimizer, t.name, t.role) is None]
    for role in dict.fromkeys(tensor.role for tensor in left):
        names = [tensor.name for tensor in left if tensor.role == role]
        message = f'no table takes the {len(names)} parameters of role "{role}" ({names[0]}, ...); '
        yield _problem(("optimizer",), message + 'let the last table match = "*"', where)


def _optimizers_take_their_tensors(config: RunConfig, where: Where) -> Iterator[Problem]:
    """An optimizer of matrices says so in its configuration (`tensor_dimensions`), so that nothing is planned in vain."""
    for number, rule in enumerate(config.optimizer):
        dimensions: tuple[int, ...] | None = getattr(rule.component.config, "tensor_dimensions", None)
        if dimensions is None:
            continue
        wanted = [t for t in tensors_of(config) or () if roles.is_optimised(t.role)]
        taken = [t for t in wanted if first_match(config.optimizer, t.name, t.role) == number]
        odd = next((t for t in taken if len(t.shape) not in dimensions), None)
        if odd is not None:
            message = (
                f'{rule.component.name} takes matrices, and {odd.name} (role "{odd.role}", shape {odd.shape}) is none; match '
                f'roles that are matrices, or put a table that matches "{odd.role}" before this one'
            )
            yield _problem(("optimizer", number, "match"), message, where)


def _problem(location: Location, message: str, where: Where) -> Problem:
    return Problem(where(location), ".".join(map(str, location)), message)


def scheduled_fields(rule: OptimizerRule) -> list[str]:
    """Hyperparameters of a rule's optimizer that schedules may scale."""
    fields: dict[str, Any] = type(rule.component.config).model_fields
    extras = {name: field.json_schema_extra for name, field in fields.items()}
    return [name for name, extra in extras.items() if isinstance(extra, dict) and extra.get("scheduled")]


def described(config: RunConfig) -> ModelDescription | None:
    """The model's description; None if it makes none."""
    try:
        return config.model.config.describe()  # type: ignore[no-any-return]
    except TypeError:
        return None


def tensors_of(config: RunConfig) -> list[TensorSpec] | None:
    """The model's parameters, learned scales included, from its configuration alone.

    None if a component does not describe itself.
    """
    description = described(config)
    try:
        own = None if description is None else description.tensors()
    except ValueError:
        return None
    if description is None or own is None:
        return None
    return [*own, *learned_scales(config.quantizer, description).values()]


def warnings_about(config: RunConfig) -> Iterator[str]:
    """What is allowed and yet probably not meant; shrinking a preset by hand leads here."""
    yield from _endless_warmups(config)
    yield from _averages_of_few_codes(config)
    tensors = tensors_of(config)
    if tensors is not None:
        yield from _rules_without_parameters(config, tensors)
        yield from _groups_wider_than_rows(config, tensors)


def _endless_warmups(config: RunConfig) -> Iterator[str]:
    schedules = {"schedule": config.schedule}
    for number, rule in enumerate(config.optimizer):
        schedules |= {f"optimizer.{number}.schedules.{name}": selected for name, selected in rule.schedules.items()}
        if rule.schedule is not None:
            schedules[f"optimizer.{number}.schedule"] = rule.schedule
    for path, selected in schedules.items():
        warmup = getattr(selected.config, "warmup_steps", 0)
        if warmup >= config.train.most_steps:
            yield f"{path}.warmup_steps {warmup} is not below train.steps {config.train.steps}: the warm-up never ends"


def _averages_of_few_codes(config: RunConfig) -> Iterator[str]:
    """Measured in benchmarks/results/weight_average.md; two bits are four codes."""
    for number, rule in enumerate(config.quantizer if config.train.ema_decay is not None else ()):
        codes = traits(rule).codes()
        if codes is not None and codes.bits < 2:
            yield (
                f"train.ema_decay: averaged weights round to other codes than those trained with quantizer.{number} "
                f"({rule.component.name}), which costs some of what averaging gains; `nanochat eval --weights` tells"
            )


def _rules_without_parameters(config: RunConfig, tensors: list[TensorSpec]) -> Iterator[str]:
    """Objectives may bring parameters of their own, which no description lists: then optimizer rules are not judged."""
    sections: list[tuple[str, tuple[Any, ...]]] = [("quantizer", config.quantizer)]
    if not config.objective:
        sections.append(("optimizer", config.optimizer))
    for section, rules in sections:
        offered = tensors if section == "quantizer" else [t for t in tensors if roles.is_optimised(t.role)]
        used = {first_match(rules, tensor.name, tensor.role) for tensor in offered}
        for number, rule in enumerate(rules):
            if number not in used:
                yield f"{section}.{number}: match = {rule.match!r} takes no parameter of this model"


def _groups_wider_than_rows(config: RunConfig, tensors: list[TensorSpec]) -> Iterator[str]:
    description = described(config)
    taken = {} if description is None else quantised(config.quantizer, description)
    for number, rule in enumerate(config.quantizer):
        rounded = [tensor for tensor in tensors if taken.get(tensor.name) == number]
        narrow = [t for t in rounded if (traits(rule).group_of(t.shape[-1]) or 0) > t.shape[-1]]
        if narrow:
            group = traits(rule).group_of(narrow[0].shape[-1])
            yield (
                f"quantizer.{number}: group_size {group} is more than the {narrow[0].shape[-1]} inputs of "
                f"{narrow[0].name}: each of its rows is one short group"
            )
