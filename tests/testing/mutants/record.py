"""How a mutant is written down: the component it pretends to be, and the law it breaks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

MadeT = TypeVar("MadeT", bound=Callable[..., Any])


@dataclass(frozen=True)
class Mutant:
    """A broken component: references as a plugin gives them, and the name of the law that must catch it."""

    kind: str
    name: str
    config: str
    factory: str
    breaks: str
    traits: dict[str, Any]


MUTANTS: list[Mutant] = []
NOTHING = "tests.testing.mutants.configs:Nothing"


def mutant(kind: str, breaks: str, config: str = NOTHING, **traits: Any) -> Callable[[MadeT], MadeT]:
    """Write a factory (a class or a function) down as a component of a kind that breaks a law."""

    def note(made: MadeT) -> MadeT:
        name = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in made.__name__).strip("_")
        name = f"{traits['operation']}/{name}" if kind == "kernel" else f"mutant/{name}"
        MUTANTS.append(Mutant(kind, name, config, f"{made.__module__}:{made.__name__}", breaks, traits))
        return made

    return note
