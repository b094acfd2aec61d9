"""Which runs are marked, and the colour and sign that each has as long as it is."""

from __future__ import annotations

from collections.abc import Container

from nanochat_framework.errors import UsageError
from nanochat_tui.keys import hint
from nanochat_tui.palette import SIGNS

MOST = len(SIGNS)


class Marks:
    """Runs by their folders. A run keeps its place in the palette whatever becomes of the others."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._places)

    def toggle(self, path: str) -> None:
        """Mark a run, or no longer. Raises UsageError where there are as many as there are colours."""
        if self._places.pop(path, None) is not None:
            return
        free = [place for place in range(MOST) if place not in self._places.values()]
        if not free:
            raise UsageError(
                f"{MOST} runs are marked, and no more can be told apart; {hint('mark')} on one of them frees its colour"
            )
        self._places[path] = free[0]

    def place(self, path: str) -> int | None:
        """A run's place in the palette; None where it is not marked."""
        return self._places.get(path)

    def paths(self) -> list[str]:
        """The marked runs, in the palette's order."""
        return sorted(self._places, key=self._places.__getitem__)

    def forget_others(self, there: Container[str]) -> None:
        """Only runs that are there stay marked."""
        self._places = {path: place for path, place in self._places.items() if path in there}
