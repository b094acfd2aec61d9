"""The suite is no ornament: components that each break one law are caught, and by that law."""

from __future__ import annotations

import importlib
from functools import cache
from types import MappingProxyType

import pytest

from nanochat_framework.plugins import KINDS, Registrar, Registry, load_plugins
from nanochat_framework.plugins.component import Component
from nanochat_framework.testing import BrokenContract, Subject, check_component, laws_of
from tests.testing.mutants.record import MUTANTS, Mutant

for _module in ("parts", "rules", "numbers", "files"):
    importlib.import_module(f"tests.testing.mutants.{_module}")


FIRST_PARTY = load_plugins(environ={"NANOCHAT_LOAD_PLUGINS": ""}).registry.components()
FAIL_LOUDLY = {"has_no_roles", "counts_instead_of_naming", "closes_once", "whole_groups_only", "refuses_with_another"}
"""Mutants that raise where they should not; the others must be caught by what they give."""


@cache
def registry_of(kind: str) -> Registry:
    """What we ship and the mutants of one kind, so that none of them meets a mutant of another."""
    registry = Registry()
    registry.commit([*FIRST_PARTY, *(_component(mutant) for mutant in MUTANTS if mutant.kind == kind)])
    return registry


def _component(mutant: Mutant) -> Component:
    about = {"summary": "broken", "plugin": "mutants", "distribution": "mutants", "version": "0"}
    traits = MappingProxyType(mutant.traits)
    return Component(mutant.kind, mutant.name, mutant.config, mutant.factory, traits=traits, **about)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.kind}-{mutant.name.rpartition('/')[2]}")
def test_a_mutant_is_caught_by_the_law_it_breaks(mutant: Mutant) -> None:
    (law,) = (law for law in laws_of(mutant.kind) if law.name == mutant.breaks)
    with pytest.raises(AssertionError) as caught:
        law.check(Subject.of(mutant.kind, mutant.name, registry_of(mutant.kind)))
    assert str(caught.value).startswith(f"{mutant.kind} {mutant.name} breaks the law {mutant.breaks}: ")
    raised = ": it raised " in str(caught.value)
    assert raised == (mutant.name.rpartition("/")[2] in FAIL_LOUDLY), str(caught.value)


def test_all_laws_together_name_those_that_are_broken() -> None:
    for kind, name, broken in (
        ("ffn", "mutant/leaks_across_positions", ("positions_do_not_meet",)),
        ("schedule", "mutant/goes_negative", ("is_finite_and_not_negative", "is_free_of_torch")),
        ("tracker", "mutant/prints_metrics", ("stdout_is_left_alone",)),
    ):
        with pytest.raises(BrokenContract, match=f"{kind} {name} breaks {len(broken)} of the laws") as caught:
            check_component(kind, name, registry_of(kind))
        assert caught.value.laws == broken


def test_every_kind_has_a_mutant_and_most_laws_are_broken_by_one() -> None:
    assert {mutant.kind for mutant in MUTANTS} == set(KINDS)
    broken = {(mutant.kind, mutant.breaks) for mutant in MUTANTS}
    assert len(broken) >= 60
    for kind in KINDS:
        known = {law.name for law in laws_of(kind)}
        assert {law for of, law in broken if of == kind} <= known


def test_mutants_have_names_that_a_plugin_could_register() -> None:
    registrar = Registrar("mutants", "tests", "mutants", "0")
    for mutant in MUTANTS:
        about = {"config": mutant.config, "factory": mutant.factory, "summary": "broken"}
        registrar.register(mutant.kind, mutant.name, **about)
