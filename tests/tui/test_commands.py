"""Commands that the dashboard waits for: real ones."""

from __future__ import annotations

import asyncio
import time

import pytest

from nanochat_framework.errors import UsageError
from nanochat_tui.commands import Command, ask


def test_asking_gives_the_commands_json() -> None:
    names = asyncio.run(ask("components", "list", "--json"))
    assert any("wsd" in str(row) for row in names)


def test_what_was_wrong_is_told_in_the_commands_own_line() -> None:
    with pytest.raises(UsageError, match="no-such-preset"):
        asyncio.run(ask("plan", "no-such-preset", "--json"))


def test_a_command_is_cancelled_at_once() -> None:
    async def session() -> tuple[float, bool]:
        command = await Command.start(["runs", "--runs-dir", "/nonexistent", "logs", "none", "-f"])
        started = time.monotonic()
        await command.cancel()
        return time.monotonic() - started, command.running

    seconds, running = asyncio.run(session())
    assert not running
    assert seconds < 30


def test_a_cancelled_question_leaves_no_process() -> None:
    async def session() -> None:
        task = asyncio.create_task(ask("components", "optimizers", "--json"))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(session())
