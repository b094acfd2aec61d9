"""Every tensor that a run trains: name, shape, role, and the part of the model it belongs to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from nanochat_framework.config.component import ModelConfig
from nanochat_framework.config.quantization import learned_scales
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.model.description import Block, ModelDescription, Opaque, TensorSpec, walk

EMBEDDING, HEAD, FINAL_NORM, RESIDUAL, EXTRAS = "embedding", "head", "final_norm", "residual", "extras"
BLOCKS = "blocks"
MIXER, VALUE_EMBEDDING, FFN, NORMS = "attention", "value_embedding", "ffn", "norms"


@dataclass(frozen=True)
class PlannedTensor:
    """A parameter and where it is listed: `part` of the model, and `subpart` within the blocks (empty elsewhere).

    `described` says whether a description tells what is computed with it.
    """

    spec: TensorSpec
    part: str
    subpart: str = ""
    described: bool = True


@dataclass(frozen=True)
class Inventory:
    """The parameters of a run.

    `model` are the model's own. `objectives` belong to terms of the loss (heads of multi-token prediction): they are
    trained and stored beside the model, and counted apart. `undescribed` names the components whose tensors were
    found by building them. `description` is None for a model that does not describe itself at all.
    """

    model: tuple[PlannedTensor, ...]
    objectives: tuple[PlannedTensor, ...]
    undescribed: tuple[str, ...]
    description: ModelDescription | None

    def __iter__(self) -> Iterator[PlannedTensor]:
        """All that is trained."""
        yield from self.model
        yield from self.objectives


def take_inventory(config: RunConfig) -> Inventory:
    """List a configuration's parameters; torch-free unless a component does not describe itself or owns objectives."""
    description = describe(config)
    undescribed = _undescribed(config, description)
    known = () if description is None else tuple(_with_scales(config, description))
    if not undescribed and not config.objective:
        return Inventory(known, (), (), description)
    from nanochat_framework.planning.built import built_tensors

    built, objectives = built_tensors(config.model, config.quantizer, config.objective)
    names = {tensor.spec.name for tensor in known}
    rest = tuple(PlannedTensor(spec, _place(spec.name), described=False) for spec in built if spec.name not in names)
    return Inventory(
        model=known + (rest if undescribed else ()),
        objectives=tuple(
            PlannedTensor(spec, name, described=False) for name, specs in objectives.items() for spec in specs
        ),
        undescribed=undescribed,
        description=description,
    )


def describe(config: RunConfig) -> ModelDescription | None:
    """The model's description, None for a model that makes none."""
    if type(config.model.config).describe is ModelConfig.describe:
        return None
    found: ModelDescription = config.model.config.describe()
    return found


def _undescribed(config: RunConfig, description: ModelDescription | None) -> tuple[str, ...]:
    """Names of the components whose tensors nobody knows, each once."""
    if description is None:
        return (config.model.name,)
    return tuple(dict.fromkeys(part.component for part in description.opaque() if part.tensors is None))


def _with_scales(config: RunConfig, description: ModelDescription) -> Iterator[PlannedTensor]:
    """The described tensors, each followed by its learned scales where a quantizer gives it some."""
    scales = learned_scales(config.quantizer, description)
    for tensor in _described(description):
        yield tensor
        if tensor.spec.name in scales:
            yield replace(tensor, spec=scales[tensor.spec.name])


def _described(description: ModelDescription) -> Iterator[PlannedTensor]:
    yield from _listed(description.embedding, EMBEDDING)
    yield from _listed(description.embedding_norm, EMBEDDING)
    for block in description.blocks:
        yield from _of_block(block)
    yield from _listed(description.residual, RESIDUAL)
    yield from _listed(description.final_norm, FINAL_NORM)
    yield from _listed(description.head, HEAD)
    yield from _listed(description.extras, EXTRAS)


def _of_block(block: Block) -> Iterator[PlannedTensor]:
    yield from _listed(block.mixer, BLOCKS, MIXER)
    yield from _listed(block.value_embedding, BLOCKS, VALUE_EMBEDDING)
    yield from _listed(block.ffn, BLOCKS, FFN)
    yield from _listed((block.mixer_norm, block.ffn_norm), BLOCKS, NORMS)


def _listed(node: Any, part: str, subpart: str = "") -> Iterator[PlannedTensor]:
    found = list(walk(node))
    opaque = {spec for operation in found if isinstance(operation, Opaque) for spec in operation.tensors or ()}
    for spec in found:
        if isinstance(spec, TensorSpec):
            yield PlannedTensor(spec, part, subpart, described=spec not in opaque)


def _place(name: str) -> str:
    """Where an undescribed parameter is listed: `blocks.3.attention.query.weight` under `blocks.*.attention`."""
    parts = [re.sub(r"^\d+$", "*", part) for part in name.split(".")[:-1]]
    return ".".join(parts[:3]) or name
