"""Callbacks in order: how the trainer calls them, and how their state travels in checkpoints."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nanochat_framework.contracts.callback import Callback


class CallbackList:
    """Callbacks by priority. Names are class names, made unique, and address the state in a checkpoint."""

    def __init__(self, callbacks: Iterable[Callback]) -> None:
        self.named: dict[str, Callback] = {}
        for callback in sorted(callbacks, key=lambda c: c.priority):
            name = type(callback).__name__
            number = sum(known.partition("#")[0] == name for known in self.named)
            self.named[f"{name}#{number + 1}" if number else name] = callback

    def call(self, hook: str, *arguments: Any) -> None:
        """Call one hook of every callback, in order."""
        for callback in self.named.values():
            getattr(callback, hook)(*arguments)

    def state(self) -> dict[str, Any]:
        """States by name."""
        return {name: state for name, callback in self.named.items() if (state := callback.state())}

    def load_state(self, state: dict[str, Any]) -> None:
        """Give each callback its state back; a state whose callback is gone is left alone."""
        for name, callback in self.named.items():
            if name in state:
                callback.load_state(state[name])
