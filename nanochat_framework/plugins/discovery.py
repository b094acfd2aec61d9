"""Entry points as installed distributions declare them, and whose they are; nothing is imported."""

from __future__ import annotations

from importlib.metadata import Distribution, EntryPoint, distributions, entry_points

OWN_DISTRIBUTION = "nanochat-framework"


def declared(group: str) -> list[EntryPoint]:
    """Every entry point of a group. A distribution whose metadata cannot be read is passed over, not fatal."""
    try:
        return list(entry_points(group=group))
    except Exception:  # one broken distribution, perhaps not even one that is about us
        return [point for distribution in distributions() for point in _points(distribution, group)]


def _points(distribution: Distribution, group: str) -> list[EntryPoint]:
    try:
        return [point for point in distribution.entry_points if point.group == group]
    except Exception:
        return []


class Owners:
    """Name and version of distributions. Reading them parses the whole metadata, so each is read once."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[str, str]] = {}

    def of(self, point: EntryPoint) -> tuple[str, str]:
        """Name and version of the distribution that declares an entry point; "unknown", "0" where it does not say."""
        if point.dist is None:
            return "unknown", "0"
        key = id(point.dist)  # alive as long as the entry point is
        if key not in self._known:
            try:
                metadata = point.dist.metadata
                self._known[key] = (metadata["Name"] or "unknown", metadata["Version"] or "0")
            except Exception:  # half-removed distributions have entry points and no metadata
                self._known[key] = ("unknown", "0")
        return self._known[key]
