"""What long work on data reports to."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Bar(Protocol):
    """What progress is reported to."""

    def advance(self, amount: float) -> None:
        """So many bytes more are done."""


ProgressFactory = Callable[[str, float | None], AbstractContextManager[Bar]]
"""(label, total bytes) -> a bar."""


class _Unseen:
    def advance(self, amount: float) -> None:
        """Nobody looks."""


def unseen(label: str, total: float | None) -> AbstractContextManager[Bar]:
    """A bar that nobody sees."""
    return nullcontext(_Unseen())
