"""Parameters of components that do not describe themselves: build them on torch's meta device, which has no memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nanochat_framework.config.rules import QuantizerRule
from nanochat_framework.config.selection import Selected
from nanochat_framework.model.description import TensorSpec


def built_tensors(
    model: Selected[Any], quantizers: tuple[QuantizerRule, ...] = (), objectives: Sequence[Selected[Any]] = ()
) -> tuple[list[TensorSpec], dict[str, list[TensorSpec]]]:
    """Names, shapes and roles as the built model has them, learned scales included, and by name those of each
    objective with parameters.

    Imports torch, and the implementation of every component. Nothing is allocated.
    """
    import torch

    from nanochat_framework.contracts.optimizer import NamedParameter
    from nanochat_framework.model.parameters import named_parameters
    from nanochat_framework.model.quantization import apply_quantizers

    def specs(found: Sequence[NamedParameter]) -> list[TensorSpec]:
        return [TensorSpec(p.name, tuple(p.tensor.shape), p.role) for p in found]

    with torch.device("meta"):
        built = model.build()
        apply_quantizers(built, quantizers)
        terms = {selected.name: selected.build(model=built) for selected in objectives}
    owned = {name: specs(named_parameters(term, prefix=f"objective.{name}.")) for name, term in terms.items()}
    return specs(named_parameters(built)), {name: found for name, found in owned.items() if found}
