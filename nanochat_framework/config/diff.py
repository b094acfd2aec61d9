"""What differs between two configurations, as dotted keys; another component is one difference, not one for each key."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nanochat_framework.config.toml_lines import Path, dotted

ABSENT = object()
"""The value of a key that one side does not have."""


@dataclass(frozen=True)
class Difference:
    """A key whose values differ; `ABSENT` where one side has no such key."""

    path: Path
    before: Any
    after: Any

    @property
    def key(self) -> str:
        """The dotted key."""
        return dotted(self.path)

    def to_dict(self) -> dict[str, Any]:
        """Plain data: `a` and `b` are left out where that side has no such key."""
        sides = {"a": self.before, "b": self.after}
        return {"key": self.key, **{side: value for side, value in sides.items() if value is not ABSENT}}


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """What differs between two resolved configurations (`RunConfig.to_dict`), in their order."""
    return list(_between(before, after, ()))


def _between(before: Any, after: Any, path: Path) -> Iterator[Difference]:
    if _written(before) == _written(after):
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping) and before.get("name") == after.get("name"):
        for key in dict.fromkeys((*before, *after)):
            yield from _between(before.get(key, ABSENT), after.get(key, ABSENT), (*path, key))
    elif _tables(before) and _tables(after) and (before or after):
        for number in range(max(len(before), len(after))):
            each = [side[number] if number < len(side) else ABSENT for side in (before, after)]
            yield from _between(each[0], each[1], (*path, number))
    else:
        yield Difference(path, before, after)


def _written(value: Any) -> str | None:
    """A value as text, in which 1, 1.0 and true are three things; None for none."""
    return None if value is ABSENT else json.dumps(value, sort_keys=True)


def _tables(value: Any) -> bool:
    """Whether it is an array that holds tables, or may: an empty one."""
    return isinstance(value, list) and all(isinstance(member, Mapping) for member in value)
