"""Talking to real models from the dashboard: a trained checkpoint, a GGUF file, what is no model at all."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.containers import VerticalScroll
from textual.pilot import Pilot
from textual.widgets import Input

from nanochat_framework.cli import main
from nanochat_framework.runs.directory import RunDirectory
from nanochat_tui.app import Dashboard
from nanochat_tui.chat.screen import ChatScreen, Typed
from nanochat_tui.dialogs import Pick
from nanochat_tui.forms import Form
from tests.tui.run_folders import said, text_of, until
from tests.tui.talked_to import ENDLESS, trained_on_text

Act = Callable[[ChatScreen, Pilot[Any]], Awaitable[None]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A run with two checkpoints, and `first.gguf` beside it."""
    return trained_on_text(tmp_path_factory.mktemp("talked-to"))


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("NANOCHAT_LOAD_PLUGINS", "")


def drive(run: RunDirectory, model: Path, act: Act, size: tuple[int, int] = (120, 36)) -> None:
    """Talk to a model of a run; the model's process is gone in the end."""

    async def session() -> None:
        app = Dashboard(run.path.parent)
        async with app.run_test(size=size) as pilot:
            app.talk_to(model, run)
            await until(lambda: isinstance(app.screen, ChatScreen), pilot.pause)
            screen = app.screen
            assert isinstance(screen, ChatScreen)
            await act(screen, pilot)
            process = screen._process
        assert process._command is not None and not process._command.running

    asyncio.run(session())


async def settled(screen: ChatScreen, pilot: Pilot[Any], n_turns: int) -> None:
    """Until so many turns are over."""
    talk = screen.talk
    await until(lambda: len(talk.turns) == n_turns and talk.present is None, pilot.pause)
    await until(lambda: talk.turns[-1].remark[:40] in text_of(screen.app), pilot.pause)


async def ready(screen: ChatScreen, pilot: Pilot[Any]) -> None:
    parts = ("✓ ready", "computes on", "chat: ", "temperature 0.8")
    await until(lambda: all(part in text_of(screen.app) for part in parts), pilot.pause)


async def set_value(screen: ChatScreen, pilot: Pilot[Any], **values: str) -> None:
    """Through the form of settings."""
    app = screen.app
    await pilot.press("ctrl+s")
    await until(lambda: isinstance(app.screen, Form), pilot.pause)
    await until(lambda: "max_tokens  " in text_of(app) and "temperature" in text_of(app), pilot.pause)
    for name, value in values.items():
        next(field for field in app.screen.query(Input) if field.name == name).value = value
    await pilot.press("enter")


def process_of(screen: ChatScreen) -> int:
    """The id of the model's process."""
    command = screen._process._command
    assert command is not None
    return command._process.pid


@contextmanager
def held(screen: ChatScreen) -> Iterator[None]:
    """Let the model come no further meanwhile, however long a busy machine takes to look."""
    os.kill(process_of(screen), signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process_of(screen), signal.SIGCONT)


def generated(capsys: pytest.CaptureFixture[str], model: Path, prompt: str, *options: str) -> str:
    capsys.readouterr()
    assert main(["generate", str(model), "--prompt", prompt, *options]) == 0
    return capsys.readouterr().out.removesuffix("\n")


def test_completing_with_a_trained_checkpoint(run: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    model = run.checkpoints / "final"
    texts = []

    async def act(screen: ChatScreen, pilot: Pilot[Any]) -> None:
        await ready(screen, pilot)
        assert "first  final  step 6" in text_of(screen.app) and "temperature 0.8  top_k 40" in text_of(screen.app)
        await set_value(screen, pilot, max_tokens="12", seed="3", stop="zzz")
        await until(lambda: "max_tokens 12" in text_of(screen.app) and "stop zzz" in text_of(screen.app), pilot.pause)
        await pilot.press(*"def f", "enter")
        await settled(screen, pilot, 1)
        assert "12 tokens" in text_of(screen.app)
        await until(lambda: "seed 4" in text_of(screen.app), pilot.pause)
        texts.append(screen.talk.turns[0].made)
        await pilot.press("enter")
        await settled(screen, pilot, 1)
        texts.append(screen.talk.turns[0].made)
        await pilot.press("ctrl+r")
        await settled(screen, pilot, 1)
        texts.append(screen.talk.turns[0].made)
        await pilot.press("ctrl+l")
        await until(lambda: "def f" not in text_of(screen.app), pilot.pause)

    drive(run, model, act)
    assert all(texts)
    options = ["-m", "12", "--seed"]
    first = generated(capsys, model, "def f", *options, "3")
    assert texts[0] == first
    assert texts[1] == first + generated(capsys, model, f"def f{first}", *options, "4")
    assert texts[2] == generated(capsys, model, "def f", *options, "5")


def test_the_end_is_in_sight_until_somebody_scrolls_up(run: RunDirectory) -> None:
    async def act(screen: ChatScreen, pilot: Pilot[Any]) -> None:
        await ready(screen, pilot)
        await set_value(screen, pilot, max_tokens="40", temperature="1.5")
        view = screen.query_one("#talk", VerticalScroll)
        for number in range(1, 5):
            await pilot.press("x", "enter")
            await settled(screen, pilot, number)
        await until(lambda: 3 < view.max_scroll_y == view.scroll_offset.y, pilot.pause)
        await pilot.press("pageup")
        await until(lambda: view.scroll_offset.y < view.max_scroll_y, pilot.pause)
        place = view.scroll_offset.y
        screen._changed.add(3)
        screen._draw()
        await pilot.pause(0.2)
        assert view.scroll_offset.y == place, "scrolled up, it stays"
        await pilot.press("y", "enter")
        await settled(screen, pilot, 5)
        await until(lambda: place < view.max_scroll_y == view.scroll_offset.y, pilot.pause)

    drive(run, run.checkpoints / "final", act, size=(80, 16))


def test_chat_with_a_file_and_stopping(run: RunDirectory) -> None:
    async def act(screen: ChatScreen, pilot: Pilot[Any]) -> None:
        app = screen.app
        await ready(screen, pilot)
        assert "chat: ChatML" in text_of(app) and "first.gguf" in text_of(app)
        await set_value(screen, pilot, max_tokens="5", temperature="0")
        await pilot.press("ctrl+t", *"Hi", "ctrl+n", *"you", "enter")
        await settled(screen, pilot, 1)
        assert all(part in text_of(app) for part in ("you    Hi", "       you", "model  "))
        assert screen.talk.turns[0].given == "Hi\nyou" and screen.talk.turns[0].tokens <= 5

        await set_value(screen, pilot, max_tokens=str(ENDLESS))
        await pilot.press("a", "enter")
        await until(lambda: screen.talk.present is not None and screen.talk.present.tokens > 3, pilot.pause)
        with held(screen):
            await until(lambda: "tokens" in text_of(app).splitlines()[0], pilot.pause)
            await pilot.press("x", "enter", "escape")
        await settled(screen, pilot, 2)
        turn = screen.talk.turns[1]
        assert turn.remark.endswith("stopped") and turn.tokens < ENDLESS
        assert isinstance(app.screen, ChatScreen) and screen.query_one(Typed).text == "x", "it was answering"
        await pilot.press("escape")
        await until(lambda: app.screen is not screen, pilot.pause)

    drive(run, run.path.parent.parent / "first.gguf", act)


def test_settings_that_mean_nothing_are_refused_in_the_form(run: RunDirectory) -> None:
    async def act(screen: ChatScreen, pilot: Pilot[Any]) -> None:
        app = screen.app
        await ready(screen, pilot)
        await set_value(screen, pilot, top_p="7")
        rows = [line.split() for line in text_of(app).splitlines()]
        assert ["│", "temperature", "0.8", "│"] in rows and ["│", "top_p", "7", "│"] in rows
        await until(lambda: "top_p must be above 0 and at most 1" in text_of(app), pilot.pause)
        await pilot.press("escape")
        await until(lambda: app.screen is screen, pilot.pause)
        await pilot.press(*"long " * 3, "enter")
        await settled(screen, pilot, 1)

    drive(run, run.checkpoints / "final", act, (80, 24))


def test_another_checkpoint_is_chosen_newest_first(run: RunDirectory) -> None:
    async def act(screen: ChatScreen, pilot: Pilot[Any]) -> None:
        app = screen.app
        await pilot.press("ctrl+o")
        await until(lambda: isinstance(app.screen, Pick), pilot.pause)
        lines = [line for line in text_of(app).splitlines() if "step" in line and "B" in line]
        assert ("step         6" in lines[0] and "step_00000003" in lines[-1] and "KB" in lines[0]) or "k" in lines[0]
        await pilot.press("end", "up", "enter")
        await until(lambda: "step_00000003" in text_of(app) and "ready" in text_of(app), pilot.pause)

    drive(run, run.checkpoints / "final", act)


def test_what_cannot_be_loaded_says_why(run: RunDirectory, tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF\x1b[2J")

    async def act(screen: ChatScreen, pilot: Pilot[Any]) -> None:
        app = screen.app
        parts = ("✗ failed", "broken.gguf: ", "ctrl+o chooses another")
        await until(lambda: all(part in text_of(app) for part in parts), pilot.pause)
        await pilot.press("a", "enter", "ctrl+s", "ctrl+r", "ctrl+t")
        assert "there is no model" in said(app)

    drive(run, broken, act)


def test_a_model_that_dies_says_so(run: RunDirectory) -> None:
    async def act(screen: ChatScreen, pilot: Pilot[Any]) -> None:
        app = screen.app
        await ready(screen, pilot)
        await set_value(screen, pilot, max_tokens=str(ENDLESS))
        await pilot.press("a", "enter")
        await until(lambda: screen.talk.present is not None and screen.talk.present.tokens > 0, pilot.pause)
        os.kill(process_of(screen), signal.SIGKILL)
        await until(lambda: "✗ failed" in text_of(app) and "it ended with code -9" in text_of(app), pilot.pause)

    drive(run, run.checkpoints / "final", act)


def test_from_the_table_of_runs(run: RunDirectory) -> None:
    async def session() -> None:
        app = Dashboard(run.path.parent)
        async with app.run_test(size=(80, 24)) as pilot:
            await until(lambda: "first" in text_of(app), pilot.pause)
            await pilot.press("g")
            await until(lambda: isinstance(app.screen, Pick), pilot.pause)
            await pilot.press("end", "enter")
            await until(lambda: "Path of a model" in text_of(app), pilot.pause)
            await pilot.press(*"nowhere.gguf", "enter")
            await until(lambda: "nowhere.gguf: no such file" in text_of(app), pilot.pause)
            await pilot.press("escape", "g", "enter")
            await until(lambda: isinstance(app.screen, ChatScreen), pilot.pause)

    asyncio.run(session())


@pytest.mark.parametrize("size", [(20, 5), (9, 2)])
def test_small_screens(run: RunDirectory, size: tuple[int, int]) -> None:
    async def act(screen: ChatScreen, pilot: Pilot[Any]) -> None:
        await pilot.press(*"hello", "f1", "escape", "ctrl+o", "escape")
        assert all(len(line) <= size[0] for line in text_of(screen.app).splitlines())

    drive(run, run.checkpoints / "final", act, size)
