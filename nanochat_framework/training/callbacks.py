"""Callbacks in order: how the trainer calls them, what becomes of their errors, how their state travels in checkpoints."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from nanochat_framework.contracts.callback import Callback
from nanochat_framework.errors import UsageError
from nanochat_framework.plugins.guard import Guard, Report


class CallbackList:
    """Callbacks by priority. Names are class names, made unique, and address the state in a checkpoint.

    What an essential callback raises stops the training. What another raises is reported, and after three errors it is
    switched off; a UsageError in `on_start` stops the training, for nothing is lost by then.
    """

    def __init__(self, callbacks: Iterable[Callback], report: Report) -> None:
        self.named: dict[str, Callback] = {}
        for callback in sorted(callbacks, key=lambda c: c.priority):
            name = type(callback).__name__
            number = sum(known.partition("#")[0] == name for known in self.named)
            self.named[f"{name}#{number + 1}" if number else name] = callback
        self._guards = {n: Guard("callback", n, report) for n, callback in self.named.items() if not callback.essential}
        self._fatal: BaseException | None = None

    def call(self, hook: str, *arguments: Any) -> None:
        """Call one hook of every callback, in order."""
        for name, callback in self.named.items():
            guard = self._guards.get(name)
            if guard is None:
                self._essential(callback, hook, arguments)
            elif not guard.switched_off:
                self._optional(guard, callback, hook, arguments)

    def _essential(self, callback: Callback, hook: str, arguments: tuple[Any, ...]) -> None:
        try:
            getattr(callback, hook)(*arguments)
        except BaseException as error:
            self._fatal = error  # also where an optional callback asked for what led here
            raise

    def _optional(self, guard: Guard, callback: Callback, hook: str, arguments: tuple[Any, ...]) -> None:
        try:
            getattr(callback, hook)(*arguments)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if error is self._fatal or (hook == "on_start" and isinstance(error, UsageError)):
                raise
            guard.failed(hook, error)

    def state(self) -> dict[str, Any]:
        """States by name. One of an optional callback that cannot be had, or is no plain data, is left out."""
        found = {}
        for name, callback in self.named.items():
            guard = self._guards.get(name)
            state = callback.state() if guard is None else guard.call("state", _plain, callback)
            if state:
                found[name] = state
        return found

    def load_state(self, state: dict[str, Any]) -> None:
        """Give each callback its state back; a state whose callback is gone is left alone."""
        for name, callback in self.named.items():
            if name not in state:
                continue
            guard = self._guards.get(name)
            if guard is None:
                callback.load_state(state[name])
            else:
                guard.call("load_state", callback.load_state, state[name])


def _plain(callback: Callback) -> dict[str, Any]:
    """Its state, as JSON would have it. Raises TypeError or ValueError for what JSON cannot hold."""
    plain: dict[str, Any] = json.loads(json.dumps(callback.state(), allow_nan=False))
    return plain
