"""Parameters with names and roles: how optimizers and checkpoints address them."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from nanochat_framework.contracts.optimizer import NamedParameter
from nanochat_framework.errors import NanochatError
from nanochat_framework.model.description import ModelDescription


def named_parameters(model: nn.Module, prefix: str = "") -> list[NamedParameter]:
    """All parameters of a model with full names and roles; a tied parameter appears once.

    A module states the roles of the parameters it creates in `parameter_roles` (parameter name -> role), and may state
    in `parameter_heads` (parameter name -> number) of which the rows belong to heads.
    Raises NanochatError, naming the module, if one has no role.
    """
    return list(_named(model, prefix))


def _named(model: nn.Module, prefix: str) -> Iterator[NamedParameter]:
    seen: set[int] = set()
    for module_name, module in model.named_modules():
        given = getattr(module, "parameter_roles", {})
        heads = getattr(module, "parameter_heads", {})
        for name, tensor in module.named_parameters(recurse=False):
            if id(tensor) in seen:
                continue
            seen.add(id(tensor))
            full = prefix + (f"{module_name}.{name}" if module_name else name)
            if name not in given:
                raise NanochatError(
                    f"{full}: {type(module).__name__} does not name the role of its parameter {name!r}; set "
                    f"parameter_roles = {{{name!r}: ...}} in the module that creates it"
                )
            yield NamedParameter(full, given[name], tensor, heads.get(name, 1))


def check_description(model: nn.Module, description: ModelDescription) -> None:
    """Hold a built model against its description: names, shapes and roles. Raises NanochatError on the first difference.

    Opaque components are left out of the comparison unless they know their tensors.
    """
    actual = {p.name: (tuple(p.tensor.shape), p.role) for p in named_parameters(model)}
    complete = all(part.tensors is not None for part in description.opaque())
    if not complete:
        return
    described = {spec.name: (spec.shape, spec.role) for spec in description.tensors()}
    for name in sorted(set(actual) | set(described)):
        if actual.get(name) != described.get(name):
            raise NanochatError(
                f"parameter {name}: the model has {actual.get(name, 'none')}, its description says "
                f"{described.get(name, 'none')}; the component's describe() and implementation must agree"
            )
