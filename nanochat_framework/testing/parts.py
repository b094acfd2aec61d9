"""What holds for every part of a model (attention, ffn, norm, residual): names, roles and shapes are as described."""

from __future__ import annotations

from collections.abc import Callable
from unittest import SkipTest

from torch import nn

from nanochat_framework.config.component import PartConfig
from nanochat_framework.model.description import Opaque, TensorSpec, walk
from nanochat_framework.model.parameters import named_parameters
from nanochat_framework.testing.subject import PLACE, Subject
from nanochat_framework.testing.suite import Law, law

Build = Callable[[Subject], nn.Module]


def part_laws(contract: type, build: Build) -> tuple[Law, ...]:
    """The laws that are the same for each kind of part."""

    def the_factory_builds_the_contract(subject: Subject) -> None:
        """The factory returns an instance of the contract's class."""
        found = build(subject)
        assert isinstance(found, contract), (
            f"the factory returns a {type(found).__name__}, which is no {contract.__name__}"
        )

    def every_parameter_has_a_role(subject: Subject) -> None:
        """Every module names the role of each parameter it creates in `parameter_roles`: optimizers choose by it."""
        names = [parameter.name for parameter in named_parameters(build(subject), PLACE.prefix)]
        assert len(names) == len(set(names))

    def the_description_is_the_module(subject: Subject) -> None:
        """`config.describe(place)` names the parameters of the built module, their shapes and roles, and no others."""
        config = subject.config
        assert isinstance(config, PartConfig), (
            f"the configuration is no PartConfig; {type(config).__name__} must derive from it"
        )
        described = config.describe(PLACE)
        parts = [each for each in walk(described) if isinstance(each, Opaque)]
        if any(part.tensors is None for part in parts):
            raise SkipTest("it describes itself as opaque: it trains and cannot be exported")
        expected = {spec.name: (spec.shape, spec.role) for spec in walk(described) if isinstance(spec, TensorSpec)}
        actual = {p.name: (tuple(p.tensor.shape), p.role) for p in named_parameters(build(subject), PLACE.prefix)}
        for name in sorted(expected.keys() | actual.keys()):
            assert actual.get(name) == expected.get(name), (
                f"{name}: the module has {actual.get(name, 'no such parameter')}, the description says "
                f"{expected.get(name, 'nothing')}"
            )

    return tuple(map(law, (the_factory_builds_the_contract, every_parameter_has_a_role, the_description_is_the_module)))
