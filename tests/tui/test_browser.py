"""The browser of components and plugins, on the real ones and on a broken one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import OptionList

from nanochat_tui.app import Dashboard
from nanochat_tui.browser.catalogue import matching
from nanochat_tui.browser.screen import BrowserScreen
from tests.plugins.place import Place
from tests.tui.run_folders import text_of, until

Act = Callable[[BrowserScreen, Pilot[Any]], Awaitable[None]]
BROKEN = """
    NANOCHAT_PLUGIN_API = 1
    raise ImportError("needs [b]fancy[/b]\\x1b[2J")
"""
OLD = """
    from nanochat_framework.plugins import hookimpl

    NANOCHAT_PLUGIN_API = 99

    @hookimpl
    def nanochat_register(registrar):
        pass
"""
HALF = """
    from nanochat_framework.plugins import hookimpl

    NANOCHAT_PLUGIN_API = 1

    @hookimpl
    def nanochat_register(registrar):
        registrar.schedule("acme/half", config=".nowhere:Config", factory=".nowhere:build", summary="not all of it is there")
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    place = Place(folder)
    place.install("broken", __init__=BROKEN)
    place.install("old", __init__=OLD)
    place.install("half", __init__=HALF)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setenv("NANOCHAT_LOAD_PLUGINS", "broken,old,half")


def drive(tmp_path: Path, act: Act, size: tuple[int, int] = (120, 36)) -> None:
    async def session() -> None:
        app = Dashboard(tmp_path / "runs")
        async with app.run_test(size=size) as pilot:
            await pilot.press("b")
            await until(lambda: isinstance(app.screen, BrowserScreen), pilot.pause)
            screen = app.screen
            assert isinstance(screen, BrowserScreen)
            await until(lambda: bool(screen.catalogue.plugins), pilot.pause)
            await pilot.pause()
            await act(screen, pilot)

    asyncio.run(session())


def page(screen: BrowserScreen) -> str:
    """The page's text in one line."""
    left = screen.query_one(OptionList).region.right
    return " ".join(" ".join(line[left:] for line in text_of(screen.app).splitlines()).split())


async def search(pilot: Pilot[Any], text: str) -> None:
    await pilot.press("slash", *text, "enter")


def test_a_component_with_settings_and_laws(tmp_path: Path) -> None:
    async def act(screen: BrowserScreen, pilot: Pilot[Any]) -> None:
        app = screen.app
        await search(pilot, "nesterov muon optimizer")
        await until(lambda: "optimizer muon" in text_of(app), pilot.pause)
        total = len(screen.catalogue.components)
        assert f"1 2 of {total} components" in text_of(app).splitlines()[0]
        shown = text_of(app)
        for expected in (
            "nanochat-framework",
            "nanochat_optimizers.muon:build_muon",
            "lr = 0.02   number, >= 0",
            "Learning rate",
        ):
            assert expected in shown
        await until(lambda: "optimizer" in screen.catalogue.laws, pilot.pause)
        await pilot.press("tab", "end")
        await until(lambda: "resumes" in text_of(app), pilot.pause)
        await pilot.press("escape")
        await until(lambda: "attention" in text_of(app), pilot.pause)

    drive(tmp_path, act)


@pytest.mark.parametrize("size", [(120, 36), (80, 24)])
def test_plugins_that_failed_say_why(tmp_path: Path, installed: None, size: tuple[int, int]) -> None:
    async def act(screen: BrowserScreen, pilot: Pilot[Any]) -> None:
        app = screen.app
        assert "✗ 2 plugins did not load" in text_of(app).splitlines()[0]
        await pilot.press("2")
        await search(pilot, "broken")
        await until(lambda: "✗ failed" in text_of(app), pilot.pause)
        assert "plugin-broken 0.3" in page(screen) and "ImportError: needs [b]fancy[/b]␛[2J" in page(screen)
        assert "NANOCHAT_DISABLE_PLUGINS=broken leaves it out" in page(screen)
        await pilot.press("escape")
        await search(pilot, "old")
        await until(lambda: "✗ incompatible" in text_of(app), pilot.pause)
        assert "written for plugin API 99" in page(screen) and "plugin API 99 import" in page(screen)
        await pilot.press("1", "escape")
        await search(pilot, "acme")
        await until(lambda: "schedule acme/half" in page(screen), pilot.pause)
        assert "No module named 'plugin_half.nowhere'" in page(screen)
        assert all(len(line) <= size[0] for line in text_of(app).splitlines())

    drive(tmp_path, act, size)


def test_every_word_has_to_be_somewhere() -> None:
    rows = [{"name": "muon", "traits": {"for": ["Matrices"]}}, {"name": "lion", "traits": {}}]
    assert matching(rows, "") == rows
    assert matching(rows, "matrices MU") == rows[:1]
    assert matching(rows, "muon lion") == []


def test_small_screens(tmp_path: Path) -> None:
    async def act(screen: BrowserScreen, pilot: Pilot[Any]) -> None:
        await pilot.press("2", "slash", "x", "escape", "1", "down", "tab", "question_mark", "escape")
        assert all(len(line) <= 20 for line in text_of(screen.app).splitlines())
        await search(pilot, "nothing at all like this")
        await pilot.press("escape", "escape")
        await until(lambda: screen.app.screen is not screen, pilot.pause)

    drive(tmp_path, act, (20, 5))
