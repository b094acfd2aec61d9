"""The contract suite's cases: every component that is installed, and the probes, which a stranger could have written."""

from __future__ import annotations

from nanochat_framework.plugins import Registrar, Registry, load_plugins
from nanochat_framework.testing import Case, contract_cases
from tests.probes import plugin as probe_plugin
from tests.testing.world import SETTINGS


def _registry() -> Registry:
    registrar = Registrar("probes", "tests.probes", "nanochat-probes", "0")
    probe_plugin.nanochat_register(registrar)
    registry = Registry()
    registry.commit([*load_plugins().registry.components(), *registrar.components])
    return registry


REGISTRY = _registry()
OWNERS = sorted({component.distribution for component in REGISTRY.components()})
CASES = [case for owner in OWNERS for case in contract_cases(owner, registry=REGISTRY, settings=SETTINGS)]


def cases_of(*kinds: str) -> list[Case]:
    """Those of some kinds."""
    return [case for case in CASES if case.kind in kinds]
