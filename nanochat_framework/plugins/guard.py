"""Calls of strangers' code that can fail and must not stop who calls: told, counted, and in the end not made any more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

MAX_ERRORS = 3
"""So many errors, and what raised them is switched off."""


class Report(Protocol):
    """Takes an error of a `callback` or `plugin`: its name, where it was raised, the error, whether it was the last."""

    def __call__(self, kind: str, name: str, where: str, error: BaseException, *, switched_off: bool) -> None:
        """Tell it."""


class Guard:
    """Calls the methods of one callback or the hooks of one plugin, and lets none of their errors through.

    A stranger's code may raise anything, SystemExit included; only KeyboardInterrupt is the person's.
    """

    def __init__(self, kind: str, name: str, report: Report) -> None:
        self.kind, self.name, self._report = kind, name, report
        self.errors = 0

    @property
    def switched_off(self) -> bool:
        """Whether there were too many errors."""
        return self.errors >= MAX_ERRORS

    def call(self, where: str, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """What the function returns; None where it raised, or is not called any more."""
        if self.switched_off:
            return None
        try:
            return function(*arguments, **named)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self.failed(where, error)
            return None

    def failed(self, where: str, error: BaseException) -> None:
        """Count and tell an error."""
        self.errors += 1
        self._report(self.kind, self.name, where, error, switched_off=self.errors == MAX_ERRORS)
