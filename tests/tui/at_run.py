"""The dashboard, opened at a run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from textual.pilot import Pilot

from nanochat_framework.runs.directory import RunDirectory
from nanochat_tui.app import Dashboard
from nanochat_tui.run_screen import RunScreen
from tests.tui.run_folders import until

Act = Callable[[RunScreen, Pilot[Any]], Awaitable[None]]


def drive(run: RunDirectory, act: Act, size: tuple[int, int] = (120, 36)) -> None:
    """Open it, do something, close it."""

    async def session() -> None:
        app = Dashboard(run.path.parent, first=run, seconds=0.05)
        async with app.run_test(size=size) as pilot:
            await until(lambda: isinstance(app.screen, RunScreen), pilot.pause)
            screen = app.screen
            assert isinstance(screen, RunScreen)
            await act(screen, pilot)

    asyncio.run(session())
