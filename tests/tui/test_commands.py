"""Commands that the dashboard waits for: real ones."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

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


@pytest.mark.parametrize("quits", [False, True], ids=["cancelled", "cancelled once more when the dashboard quits"])
def test_a_cancelled_question_leaves_no_process(started: list[Command], quits: bool) -> None:
    async def session() -> None:
        task = asyncio.create_task(ask("doctor", "--json"))
        while not started:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        task.cancel()
        await asyncio.sleep(0)
        if not quits:
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(session())
    (command,) = started
    assert not command.running and not Path(f"/proc/{command._process.pid}").exists()
