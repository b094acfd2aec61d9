"""Which weights the `[[quantizer]]` tables take, and the parameters that come with that; from descriptions alone."""

from __future__ import annotations

from nanochat_framework.config.quantizer_config import QuantizerConfig
from nanochat_framework.config.rules import QuantizerRule, quantizer_match
from nanochat_framework.model import roles
from nanochat_framework.model.description import Embedding, Linear, ModelDescription, Opaque, TensorSpec, walk

LEARNED_SCALES = "weight_scales"
"""Name of the parameter beside a `weight` whose scales are learned."""


def traits(rule: QuantizerRule) -> QuantizerConfig:
    """What a table's quantizer says of itself; nothing, if its configuration is of another kind."""
    config = rule.component.config
    return config if isinstance(config, QuantizerConfig) else QuantizerConfig()


def unfinished_warmups(rules: tuple[QuantizerRule, ...], step: int) -> list[str]:
    """A line on each table whose rounding has not wholly set in after that step: used so far, the model is another."""
    return [
        f"quantizer.{number} ({rule.component.name}): its warm-up had reached {rule.warmup.strength(step):.0%} at step "
        f"{step} and ends at step {rule.warmup.start_step + rule.warmup.steps}; here it rounds in full, which was not trained"
        for number, rule in enumerate(rules)
        if rule.warmup is not None and rule.warmup.strength(step) < 1.0
    ]


def quantizable(description: ModelDescription) -> list[TensorSpec]:
    """Weights that can be quantised: those of linear maps and the token table, and what opaque parts say they have."""
    found: dict[str, TensorSpec] = {}
    for operation in walk(description):
        if isinstance(operation, Linear | Embedding):
            found[operation.weight.name] = operation.weight
        elif isinstance(operation, Opaque):
            found.update({spec.name: spec for spec in operation.tensors or () if len(spec.shape) == 2})
    return list(found.values())


def quantised(rules: tuple[QuantizerRule, ...], description: ModelDescription) -> dict[str, int]:
    """Names of the weights that are quantised, each with the number of its table."""
    matches = {spec.name: quantizer_match(rules, spec.name, spec.role) for spec in quantizable(description)}
    return {name: index for name, index in matches.items() if index is not None}


def learned_scales(rules: tuple[QuantizerRule, ...], description: ModelDescription) -> dict[str, TensorSpec]:
    """The parameters that quantizers with learned scales add, by the name of the weight each belongs to."""
    found: dict[str, TensorSpec] = {}
    taken = quantised(rules, description)
    for spec in quantizable(description):
        shape = traits(rules[taken[spec.name]]).scale_parameters(spec.shape) if spec.name in taken else None
        if shape is not None:
            name = spec.name.removesuffix("weight") + LEARNED_SCALES
            found[spec.name] = TensorSpec(name, shape, roles.QUANTIZER_SCALE)
    return found
