"""One table laid over another: how a file changes what it `extends`.

Tables merge key by key, at every depth; scalars and arrays replace. Naming another component drops the keys that belonged
to the one before, and a key that says the same thing in another way (`train.tokens` for `train.steps`) takes its place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nanochat_framework.config.toml_lines import Path

BUDGETS = ("steps", "tokens", "tokens_per_parameter", "max_hours")
"""Keys of [train] that say how long to train; one of them is given."""
ALTERNATIVES: dict[Path, tuple[frozenset[str], ...]] = {
    ("train",): (frozenset(BUDGETS), frozenset({"gradient_accumulation", "batch_tokens"})),
    ("data",): (frozenset({"source", "sources"}),),
}
"""Table -> sets of its keys of which each says the same in another way, so that a new one replaces the old."""


def merge(below: Mapping[str, Any], above: Mapping[str, Any], path: Path = ()) -> dict[str, Any]:
    """`below` with everything in `above` said anew; neither is changed.

    `path` is where the tables stand, counted from the top. A component's bare name is its table with nothing but a name.
    """
    if "name" in above and "name" in below and above["name"] != below["name"]:
        return dict(above)
    kept = {key: value for key, value in below.items() if key not in replaced_by(above, path)}
    return {**kept, **{key: _over(kept.get(key), value, (*path, key)) for key, value in above.items()}}


def replaced_by(keys: Mapping[str, Any], path: Path) -> set[str]:
    """Keys of a table that go when these are set."""
    return {other for group in ALTERNATIVES.get(path, ()) if group & keys.keys() for other in group - keys.keys()}


def _over(below: Any, above: Any, path: Path) -> Any:
    if isinstance(below, str) and isinstance(above, Mapping):
        below = {"name": below}
    elif isinstance(above, str) and isinstance(below, Mapping):
        above = {"name": above}
    return merge(below, above, path) if isinstance(below, Mapping) and isinstance(above, Mapping) else above


def subpaths(value: Any, path: Path = ()) -> Iterator[Path]:
    """The path itself, and that of everything inside; members of arrays are numbered."""
    yield path
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from subpaths(inner, (*path, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from subpaths(inner, (*path, number))


def copied(value: Any) -> Any:
    """Tables and arrays anew, with what they hold."""
    if isinstance(value, Mapping):
        return {key: copied(inner) for key, inner in value.items()}
    return [copied(inner) for inner in value] if isinstance(value, list) else value
