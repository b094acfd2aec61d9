"""How many parameters, where, and in which role."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from nanochat_framework.model.description import MixtureOfExperts, ModelDescription, TensorSpec, walk
from nanochat_framework.planning.inventory import Inventory, PlannedTensor


@dataclass(frozen=True)
class Part:
    """A part of the model with its number of parameters; `parts` are what it consists of."""

    name: str
    parameters: int
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True)
class ParameterCount:
    """The parameters of a model, exactly: the sum of its tensors' elements.

    `active` are those that a single token passes by: `total` less the experts it is not sent to. `objectives` counts what
    terms of the loss own (multi-token prediction heads), which `total` leaves out.
    """

    total: int
    active: int
    parts: tuple[Part, ...]
    by_role: dict[str, int]
    objectives: dict[str, int]

    def share(self, part: Part) -> float:
        """A part's share of the total, 0 to 1."""
        return part.parameters / self.total if self.total else 0.0


def count_parameters(inventory: Inventory) -> ParameterCount:
    """Add up an inventory; parts stand in the order in which the model uses them."""
    by_role: Counter[str] = Counter()
    for tensor in inventory.model:
        by_role[tensor.spec.role] += tensor.spec.size
    objectives: Counter[str] = Counter()
    for tensor in inventory.objectives:
        objectives[tensor.part] += tensor.spec.size
    total = sum(tensor.spec.size for tensor in inventory.model)
    return ParameterCount(
        total=total,
        active=total - resting_parameters(inventory.description),
        parts=tuple(_parts(inventory.model)),
        by_role=dict(by_role),
        objectives=dict(objectives),
    )


def resting_parameters(description: ModelDescription | None) -> int:
    """Parameters of the experts that a token is not sent to, of all layers."""
    mixtures = [part for part in walk(description) if isinstance(part, MixtureOfExperts)]
    resting = tuple(expert for mixture in mixtures for expert in mixture.experts[mixture.n_active :])
    return sum(spec.size for spec in walk(resting) if isinstance(spec, TensorSpec))


def _parts(tensors: tuple[PlannedTensor, ...]) -> list[Part]:
    """Parts in order of first appearance, each with its subparts."""
    sizes: dict[str, Counter[str]] = {}
    for tensor in tensors:
        sizes.setdefault(tensor.part, Counter())[tensor.subpart] += tensor.spec.size
    return [
        Part(name, sum(inner.values()), tuple(Part(sub, size) for sub, size in inner.items() if sub))
        for name, inner in sizes.items()
    ]
