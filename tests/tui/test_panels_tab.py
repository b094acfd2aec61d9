"""The tab of plugins' panels: there where a plugin has one, and whatever these do, the dashboard goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from nanochat_framework.runs.directory import RunDirectory
from nanochat_tui.panels.pane import PanelsPane
from nanochat_tui.run_screen import RunScreen
from tests.plugins.place import Place
from tests.tui.at_run import Act, drive
from tests.tui.run_folders import make_run, said, text_of, until

PLUGIN = """
    import os
    from nanochat_framework.plugins import Panel, hookimpl

    NANOCHAT_PLUGIN_API = 1

    def told(folder):
        file = folder / "told.txt"
        if file.exists() and file.read_text() == "die":
            os._exit(7)
        return file.read_text().splitlines() if file.exists() else ["a\\x1b[2Jb", "line " * 100]

    def wrong(folder):
        raise ValueError("wrong [b]whatever[/b]")

    @hookimpl
    def nanochat_panels():
        return [Panel("acme/told", "What was told", told), Panel("acme/wrong", "Wrong", wrong)]
"""


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return make_run(tmp_path / "runs", "first", step=5)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin with two panels, found by this process and by its children."""
    folder = tmp_path / "site"
    folder.mkdir()
    Place(folder).install("told", __init__=PLUGIN)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setenv("NANOCHAT_LOAD_PLUGINS", "told")


def drive_and_leave(run: RunDirectory, act: Act, size: tuple[int, int] = (120, 36)) -> None:
    """As `drive`; the process that calls the panels ends with the screen."""
    commands: list[Any] = []

    async def watched(screen: RunScreen, pilot: Pilot[Any]) -> None:
        await act(screen, pilot)
        commands.append(screen.query_one(PanelsPane)._command)

    drive(run, watched, size)
    assert commands[0] is None or not commands[0].running


def test_without_panels_there_is_no_tab(run: RunDirectory) -> None:
    async def act(screen: RunScreen, pilot: Pilot[Any]) -> None:
        await until(lambda: "System" in text_of(screen.app), pilot.pause)
        await pilot.press("6")
        await until(lambda: "no plugin here has a panel" in said(screen.app), pilot.pause)
        assert "Panels" not in text_of(screen.app)

    drive_and_leave(run, act)


@pytest.mark.parametrize("size", [(120, 36), (80, 24)])
def test_panels_are_shown_and_followed(run: RunDirectory, installed: None, size: tuple[int, int]) -> None:
    async def act(screen: RunScreen, pilot: Pilot[Any]) -> None:
        app = screen.app
        await until(lambda: "Panels" in text_of(app), pilot.pause)
        await pilot.press("6")
        await until(
            lambda: "a␛[2Jb" in text_of(app) and "✗ ValueError: wrong [b]whatever[/b]" in text_of(app), pilot.pause
        )
        assert "What was told  acme/told of told" in text_of(app)
        assert all(len(line) <= size[0] for line in text_of(app).splitlines())
        (run.path / "told.txt").write_text("one\ntwo\n")
        await until(lambda: "one" in text_of(app) and "two" in text_of(app) and "a␛" not in text_of(app), pilot.pause)

    drive_and_leave(run, act, size)


def test_one_that_ends_the_process_ends_only_that(run: RunDirectory, installed: None) -> None:
    async def act(screen: RunScreen, pilot: Pilot[Any]) -> None:
        app = screen.app
        await until(lambda: "Panels" in text_of(app), pilot.pause)
        await pilot.press("6")
        await until(lambda: "a␛[2Jb" in text_of(app), pilot.pause)
        (run.path / "told.txt").write_text("die")
        await until(lambda: "the panels' process ended: it ended with code 7" in text_of(app), pilot.pause)
        (run.path / "told.txt").write_text("alive")
        await pilot.press("6")
        await until(lambda: "alive" in text_of(app) and "ended" not in text_of(app), pilot.pause)

    drive_and_leave(run, act)
