"""Laws, the components they are checked on, and what a broken one looks like."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any
from unittest import SkipTest

from nanochat_framework.errors import UsageError
from nanochat_framework.plugins.kinds import KINDS
from nanochat_framework.plugins.loader import load_plugins
from nanochat_framework.plugins.registry import Registry
from nanochat_framework.testing.subject import Subject


@dataclass(frozen=True)
class Law:
    """Something that every component of a kind must do; `states` says it in a sentence, as the contract does."""

    name: str
    states: str
    function: Callable[[Subject], None]

    def __str__(self) -> str:
        return self.name

    def check(self, subject: Subject) -> None:
        """Raise AssertionError, with what is wrong and what the law states, if the component breaks it.

        Raises unittest's SkipTest, which pytest understands, where the law says nothing about this component or a
        package that the component needs is absent.
        """
        try:
            self.function(subject)
        except (SkipTest, UsageError):
            raise
        except AssertionError as error:
            raise AssertionError(f"{subject} breaks the law {self.name}: {error} [{self.states}]") from error
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            raise AssertionError(f"{subject} breaks the law {self.name}: it raised {what} [{self.states}]") from error


def law(function: Callable[[Subject], None]) -> Law:
    """The law that a function checks: its name, and the first line of its docstring."""
    assert function.__doc__, f"{function.__name__} must state its law in a docstring"
    return Law(function.__name__, function.__doc__.strip().splitlines()[0], function)


class BrokenContract(AssertionError):
    """A component that breaks laws of its contract: all of them, a line each. `laws` has their names."""

    def __init__(self, subject: str, errors: Mapping[str, BaseException]) -> None:
        lines = "".join(f"\n  {error}" for error in errors.values())
        super().__init__(f"{subject} breaks {len(errors)} of the laws of its contract:{lines}")
        self.laws = tuple(errors)


@dataclass(frozen=True)
class Case:
    """One law and one component, for `pytest.mark.parametrize(..., ids=str)`."""

    law: Law
    kind: str
    name: str
    subject: Subject | AssertionError | SkipTest
    """What stands in place of the component where it cannot be built is why."""

    def __str__(self) -> str:
        return f"{self.kind}-{self.name}-{self.law.name}"

    def check(self) -> None:
        """Check it; raises as `Law.check` does."""
        if not isinstance(self.subject, Subject):
            raise self.subject
        self.law.check(self.subject)


def laws_of(kind: str) -> list[Law]:
    """The laws of a kind, those of every configuration first. Raises KeyError for a kind that there is not."""
    module = import_module(f"nanochat_framework.testing.{KINDS[kind].name}")
    configuration = import_module("nanochat_framework.testing.configuration")
    return [*configuration.LAWS, *module.LAWS]


def check_component(kind: str, name: str, registry: Registry, *, settings: Mapping[str, Any] | None = None) -> None:
    """Check all laws of its kind on a component.

    `settings` are put on top of the examples that its fields give (see `Subject`). Laws that say nothing about it are
    passed over. Raises BrokenContract, an AssertionError with a line for each law that does not hold, and UsageError where
    a file that the component reads, or hypothesis, is not there.
    """
    subject = Subject.of(kind, name, registry, settings)
    errors: dict[str, BaseException] = {}
    for each in laws_of(kind):
        try:
            each.check(subject)
        except SkipTest:
            continue
        except AssertionError as error:
            errors[each.name] = error
    if errors:
        raise BrokenContract(str(subject), errors) from next(iter(errors.values()))


def contract_cases(
    owner: str,
    *,
    registry: Registry | None = None,
    settings: Mapping[tuple[str, str], Mapping[str, Any]] | None = None,
) -> list[Case]:
    """Every law for every component of a plugin or distribution, named as `nanochat plugins list` does.

    `settings[kind, name]` are those that a component cannot do without and has no example of, as the address of a server.
    Raises UsageError if the plugin is not installed, did not load, or registers nothing.
    """
    if registry is None:
        registry = _loaded(owner)
    found = list(_cases(owner, registry, settings or {}))
    if not found:
        raise UsageError(f"no component of {owner!r} is registered; `nanochat plugins list` shows what is, and why not")
    return found


def _loaded(owner: str) -> Registry:
    host = load_plugins()
    broken = [p.line() for p in host.plugins if owner in (p.name, p.distribution) and p.state != "ok"]
    if broken:
        raise UsageError("; ".join(broken))
    return host.registry


def _cases(owner: str, registry: Registry, settings: Mapping[tuple[str, str], Mapping[str, Any]]) -> Iterator[Case]:
    for component in registry.components():
        if owner not in (component.plugin, component.distribution):
            continue
        given = settings.get((component.kind, component.name))
        try:
            subject: Subject | AssertionError | SkipTest = Subject.of(component.kind, component.name, registry, given)
        except (AssertionError, SkipTest) as error:
            subject = error
        for each in laws_of(component.kind):
            yield Case(each, component.kind, component.name, subject)
