"""The contract suite on every component that is installed, and on the probes, which a stranger could have written."""

from __future__ import annotations

import pytest

from nanochat_framework.plugins import Registrar, Registry, load_plugins
from nanochat_framework.testing import Case, contract_cases
from tests.probes import plugin as probe_plugin
from tests.testing.world import SETTINGS


def _cases() -> list[Case]:
    installed = load_plugins().registry
    registrar = Registrar("probes", "tests.probes", "nanochat-probes", "0")
    probe_plugin.nanochat_register(registrar)
    registry = Registry()
    registry.commit([*installed.components(), *registrar.components])
    owners = sorted({component.distribution for component in registry.components()})
    return [case for owner in owners for case in contract_cases(owner, registry=registry, settings=SETTINGS)]


@pytest.mark.parametrize("case", _cases(), ids=str)
def test_contract(case: Case) -> None:
    case.check()
