"""The dashboard's tests read nothing that somebody has set or left, and do not hang on how fast the machine is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from nanochat_tui.commands import Command
from tests.tui.at_rest import wait_exactly


@pytest.fixture(scope="session", autouse=True)
def _folders_of_ones_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
            patch.setenv(name, str(tmp_path_factory.mktemp(name.lower())))
        patch.delenv("NO_COLOR", raising=False)
        wait_exactly(patch)
        yield


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Command]:
    """The commands that a test starts."""
    commands: list[Command] = []
    start = Command.start

    async def noted(arguments: Sequence[str]) -> Command:
        commands.append(await start(arguments))
        return commands[-1]

    monkeypatch.setattr(Command, "start", noted)
    return commands
