"""Pilot's waiting, made exact.

Textual's pilot takes a process that uses no processor time for one that has nothing to do; on a busy machine it is
waiting for its turn. Here a dashboard is at rest when no message waits or is being handled, and all is laid out.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest
from textual.app import App, ScreenStackError
from textual.message import Message
from textual.message_pump import MessagePump
from textual.pilot import Pilot
from textual.screen import Screen

PATIENCE_PASSES = 1000
"""Turns of the loop with something to do, two seconds of them where nothing else takes the processor and more where it
does. A message may be handled for as long as a command takes; the tests' own conditions wait for those."""

QUIET_PASSES = 3
"""Turns of the loop without anything to do: what one message wakes up may only post the next one in its turn."""

_being_handled: Counter[int] = Counter()
_dispatch = MessagePump._dispatch_message
_press_keys = App._press_keys
_wait_for_screen = Pilot._wait_for_screen


async def at_rest(app: App[Any]) -> None:
    """Wait until nothing is left to do, but no longer than PATIENCE_PASSES."""
    quiet = 0
    for _ in range(PATIENCE_PASSES):
        quiet = 0 if _is_busy(app) else quiet + 1
        if quiet == QUIET_PASSES:
            return
        await asyncio.sleep(0 if quiet else 0.002)


def _is_busy(app: App[Any]) -> bool:
    if app._exception is not None:
        return False
    try:
        screen: Screen[object] = app.screen
    except ScreenStackError:
        return False
    for pump in (app, *app._registry):
        if pump._closed or pump._closing:
            continue
        waits = pump.message_queue_size or pump._next_callbacks or pump._pending_message is not None
        if waits or _being_handled[id(pump)] or not (pump._is_mounted or pump is app):
            return True
    if screen._layout_required or screen._repaint_required or screen._dirty_widgets or screen._callbacks:
        screen._on_timer_update()
        return True
    return False


async def _counted_dispatch(self: MessagePump, message: Message) -> None:
    _being_handled[id(self)] += 1
    try:
        await _dispatch(self, message)
    finally:
        _being_handled[id(self)] -= 1


async def _press_one_by_one(self: App[Any], keys: Iterable[str]) -> None:
    for key in keys:
        await _press_keys(self, [key])
        await at_rest(self)


async def _wait_until_at_rest(self: Pilot[Any], timeout: float = 30.0) -> bool:
    done = await _wait_for_screen(self, timeout)
    await at_rest(self.app)
    return done


def wait_exactly(patch: pytest.MonkeyPatch) -> None:
    """Let every pilot wait this way."""
    patch.setattr(MessagePump, "_dispatch_message", _counted_dispatch)
    patch.setattr(App, "_press_keys", _press_one_by_one)
    patch.setattr(Pilot, "_wait_for_screen", _wait_until_at_rest)
