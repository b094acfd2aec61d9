"""A model in a process of its own that answers requests: what docs/generation.md says of `generate --requests`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from nanochat_framework.errors import NanochatError
from nanochat_tui.commands import Command

Event = Mapping[str, Any]


class ModelProcess:
    """Started by `run`, asked by `say`, ended by `close`. `tell` gets its events, and `gone` with a `message` when it ended."""

    def __init__(self, model: str, tell: Callable[[Event], None]) -> None:
        """`model`: a path."""
        self.model, self._tell = model, tell
        self._command: Command | None = None
        self._closed = False

    async def run(self) -> None:
        """Start it, and pass its events on until it ends."""
        try:
            command = self._command = await Command.start(["generate", self.model, "--requests"])
        except NanochatError as error:
            self._tell({"event": "gone", "message": str(error)})
            return
        try:
            async for line in command.lines():
                event = _event(line)
                if event is not None:
                    self._tell(event)
            await command.wait()
        finally:
            await command.cancel()
        if not self._closed:
            self._tell({"event": "gone", "message": command.complaint()})

    @property
    def narration(self) -> list[str]:
        """What it said beside its events: warnings, a line each."""
        return list(self._command.narration) if self._command else []

    async def say(self, request: Mapping[str, Any]) -> None:
        """Send a request."""
        if self._command is not None:
            await self._command.write(json.dumps(request) + "\n")

    async def close(self) -> None:
        """End it at once."""
        self._closed = True
        if self._command is not None:
            self._command.end_input()
            await self._command.cancel()


def _event(line: str) -> Event | None:
    try:
        event = json.loads(line)
    except ValueError:  # something that a plugin printed
        return None
    return event if isinstance(event, dict) and isinstance(event.get("event"), str) else None
