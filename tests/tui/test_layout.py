"""What is remembered: written whole, read back as it was, and passed over where it is damaged."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanochat_tui.app import Dashboard
from nanochat_tui.layout import Layout, Memory
from nanochat_tui.run_screen import RunScreen
from nanochat_tui.settings import Settings
from tests.tui.run_folders import log_steps, make_run, said, text_of, until

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


def test_there_and_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "down" / "tui.json"
    memory = Memory.read(path)
    assert (memory.layout, memory.note) == (Layout(), "")
    memory.remember(tab="log", metrics=("a", "b"), axis="time", smoothing=0.9, log_scale=True, sort="loss", filter="x")
    assert memory.save() == ""
    assert Memory.read(path).layout == memory.layout
    assert [file.name for file in path.parent.iterdir()] == ["tui.json"], "no temporary file is left"
    stamp = path.stat().st_mtime_ns
    assert memory.save() == "" and path.stat().st_mtime_ns == stamp, "what is the same is not written"
    assert Memory.read(path, fresh=True).layout == Layout()


@given(st.dictionaries(st.sampled_from([*Layout.__dataclass_fields__, "else"]), anything))
def test_any_file_is_a_layout_or_a_note(tmp_path_factory: pytest.TempPathFactory, data: dict[str, Any]) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps(data))
    memory = Memory.read(path)
    assert isinstance(memory.layout, Layout)
    assert memory.note == "" or memory.layout == Layout()


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\x00\xff", b"[]", b'{"axis": "sideways"}', b'{"metrics": [1]}', b"[" * 9999]
)
def test_a_damaged_file_is_passed_over_with_a_note(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tui.json"
    path.write_bytes(content)
    memory = Memory.read(path)
    assert memory.layout == Layout()
    assert memory.note == f"{path}: is damaged; starting without it"


def test_what_cannot_be_written_is_told_once(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    memory = Memory(blocked / "tui.json")
    memory.remember(tab="log")
    assert "cannot be written (" in memory.save()
    assert memory.save() == ""


def test_the_dashboard_comes_back_as_it_was_left(tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs", "first", step=300)
    make_run(tmp_path / "runs", "second", step=10)
    log_steps(run, 1, 300)
    file = tmp_path / "tui.json"

    async def leave() -> None:
        memory = Memory.read(file)
        app = Dashboard(tmp_path / "runs", first=run, seconds=0.05, memory=memory, settings=Settings())
        async with app.run_test(size=(120, 36)) as pilot:
            await until(lambda: "⡇" in text_of(app), pilot.pause)
            await pilot.press("m")
            await until(lambda: "train/entropy" in text_of(app), pilot.pause)
            await pilot.press("space", "enter", "a", "o", "o", "l", "4", "q")
        memory.save()

    async def come_back(fresh: bool) -> None:
        app = Dashboard(tmp_path / "runs", first=run, seconds=0.05, memory=Memory.read(file, fresh=fresh))
        async with app.run_test(size=(120, 36)) as pilot:
            await until(lambda: isinstance(app.screen, RunScreen), pilot.pause)
            screen = app.screen
            assert isinstance(screen, RunScreen)
            await pilot.pause()
            from textual.widgets import TabbedContent

            assert screen.query_one(TabbedContent).active == ("charts" if fresh else "events")
            await pilot.press("1")
            await until(lambda: "loss  nats/token" in text_of(app), pilot.pause)
            assert ("train/entropy  nats" in text_of(app)) is not fresh
            assert ("(log)" in text_of(app)) is not fresh
            assert (screen.grid.view.axis, screen.grid.view.smoothing) == (("step", 0.0) if fresh else ("tokens", 0.9))

    asyncio.run(leave())
    asyncio.run(come_back(False))
    asyncio.run(come_back(True))


def test_order_filter_and_theme(tmp_path: Path) -> None:
    for name in ("alpha", "beta"):
        make_run(tmp_path / "runs", name)
    file = tmp_path / "tui.json"

    async def session(settings: Settings) -> tuple[str, str]:
        memory = Memory.read(file)
        app = Dashboard(tmp_path / "runs", settings=settings, memory=memory)
        async with app.run_test(size=(100, 20)) as pilot:
            await pilot.pause()
            seen = (app.theme, text_of(app))
            if settings.theme == "tol":
                await pilot.press("s", "S", "slash", *"alpha", "enter")
                app.theme = "nord"
                await pilot.pause()
                await pilot.press("q")
        memory.save()
        return seen

    assert asyncio.run(session(Settings(theme="tol")))[0] == "tol"
    theme, text = asyncio.run(session(Settings(theme="tol")))
    assert theme == "nord" and "1 of 2 runs" in text and "name▲" in text
    assert asyncio.run(session(Settings(theme="tol-light")))[0] == "tol-light", "the settings name another one now"
    file.write_text(json.dumps({"filter": "(((", "theme": "gone"}))
    theme, text = asyncio.run(session(Settings()))
    assert theme == "okabe-ito" and "2 runs" in text


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "tui.json").write_text("{")

    async def session() -> None:
        app = Dashboard(tmp_path, memory=Memory.read(tmp_path / "tui.json"))
        async with app.run_test() as pilot:
            await until(lambda: "is damaged; starting without it" in said(app), pilot.pause)

    asyncio.run(session())
