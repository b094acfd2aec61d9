"""Ends a stream of text where one of some strings appears, however the text is cut into pieces."""

from __future__ import annotations

from collections.abc import Sequence

from nanochat_framework.errors import UsageError


class StopStrings:
    """Feed it pieces of text; it gives back what may be shown.

    Text that could be the beginning of a stop string is held back until the next piece decides. Where several stop
    strings match, the one that is complete first ends the text, so the result does not depend on the pieces.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        """Raises UsageError for an empty stop string."""
        if any(not stop for stop in stops):
            raise UsageError("a stop string is empty; leave it out to generate without one")
        self._stops = tuple(stops)
        self._held = ""
        self.matched: str | None = None
        """The stop string that ended the text, None so far."""

    def feed(self, text: str) -> str:
        """Take a piece; return the text that may be shown now. After a match nothing more comes out."""
        if self.matched is not None:
            return ""
        pending = self._held + text
        ends = [(start + len(stop), start, stop) for stop in self._stops if (start := pending.find(stop)) >= 0]
        if ends:
            _, start, self.matched = min(ends)
            self._held = ""
            return pending[:start]
        keep = max((_overlap(pending, stop) for stop in self._stops), default=0)
        self._held = pending[len(pending) - keep :]
        return pending[: len(pending) - keep]

    def flush(self) -> str:
        """The text still held back, when no more will come."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that is a beginning of `stop` (and not all of it)."""
    for length in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0
