"""What files and systems can hand to the dashboard's screens: signs that a terminal obeys, numbers without end, no processes."""

from __future__ import annotations

import asyncio
import json
import os
import resource
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from nanochat_framework.errors import NanochatError
from nanochat_framework.runs.checkpoint_store import CheckpointStore, step_name
from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.jsonlines import JsonLinesWriter
from nanochat_framework.runs.status import read_status
from nanochat_framework.runs.summary import summarize
from nanochat_tui.app import Dashboard
from nanochat_tui.checkpoints.screen import CheckpointsScreen
from nanochat_tui.commands import Command, ask
from nanochat_tui.compare.screen import CompareScreen
from nanochat_tui.launch.checking import known_speed
from nanochat_tui.requests import Requests
from nanochat_tui.run_screen import RunScreen
from nanochat_tui.system.alerts import monitor_section
from nanochat_tui.work import Work, progress
from tests.tui.run_folders import log_steps, make_run, said, text_of, until

Act = Callable[[Dashboard, Pilot[Any]], Awaitable[None]]
ESCAPES = "\x1b]0;title\x07\x1b[2J\u202e\x9b31m"


def drive(runs_dir: Path, act: Act, size: tuple[int, int] = (120, 36)) -> None:
    """Open the dashboard on a folder of runs, do something, close it; an exception in it is raised here."""

    async def session() -> None:
        app = Dashboard(runs_dir, seconds=0.05)
        async with app.run_test(size=size) as pilot:
            await until(lambda: "run" in text_of(app), pilot.pause)
            await act(app, pilot)

    asyncio.run(session())


def add_checkpoint(run: RunDirectory, step: int) -> None:
    CheckpointStore(run.checkpoints).write(
        step_name(step), lambda folder: (folder / "weights").write_bytes(bytes(1000)) and None
    )


def wrong(app: Dashboard) -> set[str]:
    """Characters on the screen that a terminal does something else with than show them."""
    return {character for character in text_of(app) if character not in "\n\xa0" and not character.isprintable()}


def test_no_text_of_a_run_reaches_the_terminal_as_a_command(tmp_path: Path) -> None:
    """Names of folders, tags, errors, names of metrics and keys are anybody's; columns stay columns."""
    runs_dir = tmp_path / "runs"
    for name in ("first", "second"):
        run = make_run(runs_dir, name, state="failed", step=5)
        log_steps(run, 1, 5)
        writer = JsonLinesWriter(run.metrics)
        writer.write(
            {"attempt": 1, "step": 5, "time": 5.0, "tokens": 5, f"train/{ESCAPES}": 1.0, f"model/{ESCAPES}": 2.0}
        )
        writer.close()
        run.tags.write_text(json.dumps([f"tag{ESCAPES}"]))
        run.status.write_text(json.dumps({**json.loads(run.status.read_bytes()), "error": f"bad{ESCAPES}"}))
        config = {"train": {f"key{ESCAPES}": f"{name}{ESCAPES}"}}
        run.config_resolved.write_text(json.dumps(config))
        run.path.rename(runs_dir / f"{name}{ESCAPES}x")

    async def act(app: Dashboard, pilot: Pilot[Any]) -> None:
        await until(lambda: "first" in text_of(app) and "tag" in text_of(app), pilot.pause)
        assert not wrong(app)
        lines = [line for line in text_of(app).splitlines() if "✗ failed" in line and "day" not in line]
        assert len({line.index("✗ failed") for line in lines[1:]}) == 1, "columns are columns"
        await pilot.press("enter")
        await until(lambda: isinstance(app.screen, RunScreen) and "gradient norm" in text_of(app), pilot.pause)
        for key in ("m", "escape", "2", "3", "4", "5", "1", "t", "escape", "D", "escape", "escape"):
            await pilot.press(key)
            await pilot.pause()
            assert not wrong(app)
        await until(lambda: app.screen is app.runs_screen, pilot.pause)
        await pilot.press("ctrl+home", "space", "space", "C")
        await until(lambda: isinstance(app.screen, CompareScreen), pilot.pause)
        for key in ("2", "3", "1"):
            await pilot.press(key)
            await pilot.pause(0.1)
            assert not wrong(app)

    drive(runs_dir, act, (150, 36))


def test_numbers_without_end(tmp_path: Path) -> None:
    """Integers of JSON have no limit, and what should be a number may be anything."""
    endless = 10**400
    run, other = (make_run(tmp_path / "runs", name, state="running", step=5) for name in ("first", "second"))
    for each in (run, other):
        log_steps(each, 1, 100)
        add_checkpoint(each, 100)
    with run.metrics.open("a") as file:
        for value in (endless, {"a": 1}, "much", True, [1]):
            record = {
                "attempt": 1,
                "step": 100,
                "time": 1.0,
                "tokens": endless,
                "eval/loss": value,
                "eval/bits_per_byte": value,
            }
            file.write(json.dumps(record) + "\n")
    good = json.loads(run.status.read_bytes())

    async def act(app: Dashboard, pilot: Pilot[Any]) -> None:
        for facts in ({"step": endless}, {"metrics": {"train/loss": endless}}, {"heartbeat": endless}):
            run.status.write_text(json.dumps({**good, **facts}))
            app.runs_screen.look()
            await pilot.pause()
            status = read_status(run.status)
            assert status is None or not status.metrics
        run.status.write_text(json.dumps(good))
        await pilot.press("ctrl+home", "k")
        await until(lambda: isinstance(app.screen, CheckpointsScreen) and "whole" in text_of(app), pilot.pause)
        await pilot.press("escape")
        await until(lambda: app.screen is app.runs_screen, pilot.pause)
        await pilot.press("enter")
        await until(lambda: "held-out" in text_of(app) and "⡇" in text_of(app), pilot.pause)

    drive(tmp_path / "runs", act)


def test_tables_within_tables_without_end(tmp_path: Path) -> None:
    """Where JSON is nested deeper than it can be read: a run's facts, its configuration."""
    deep = b'{"a":' * 5000 + b"1" + b"}" * 5000
    for name in ("first", "second"):
        run = make_run(tmp_path / "runs", name, step=5, metrics={"train/tokens_per_second": 5.0})
        log_steps(run, 1, 5)
        run.config_resolved.write_bytes(deep)
    run.run_json.write_bytes(deep)
    assert known_speed([summarize(run)], {}) is None and monitor_section(run) == {}

    async def act(app: Dashboard, pilot: Pilot[Any]) -> None:
        await until(lambda: "2 runs" in text_of(app), pilot.pause)
        await pilot.press("slash", *"lr>0.1", "enter", "escape")
        await pilot.press("ctrl+home", "space", "space", "C")
        await until(lambda: isinstance(app.screen, CompareScreen), pilot.pause)
        await pilot.press("2")
        await until(lambda: "cannot be read" in " ".join(text_of(app).split()), pilot.pause)

    drive(tmp_path / "runs", act)


@contextmanager
def no_room_for_files() -> Iterator[None]:
    """This process may open no further file, and so no pipe to a child."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_process_that_cannot_be_started_is_a_line(tmp_path: Path) -> None:
    requests = Requests()

    async def session() -> str:
        await (await asyncio.create_subprocess_exec("true")).wait()  # asyncio's own files are open from here on
        with no_room_for_files(), pytest.raises(NanochatError, match="cannot be started") as caught:
            await ask("components", "list", "--json")
        return str(caught.value)

    line = asyncio.run(session())
    with no_room_for_files():
        requests.start("train x", ["train", "x"])
    (told,) = requests.poll()
    assert (told.text, told.good) == (f"train x: {line}", False) and "Too many open files" in line
    assert requests.line() == "" and requests.poll() == []


def test_a_window_of_a_command_that_cannot_be_started(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", "first")

    async def act(app: Dashboard, pilot: Pilot[Any]) -> None:
        await (await asyncio.create_subprocess_exec("true")).wait()
        work = Work("Listing", ["runs", "ls"])
        with no_room_for_files():
            app.push_screen(work)
            await until(lambda: work.done is False, pilot.pause)
        await until(lambda: "nanochat cannot be started (Too many open files)" in text_of(app), pilot.pause)

    drive(tmp_path / "runs", act)


def test_a_result_that_is_gone_is_shown_as_the_command_said_it(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", "first")

    def shown(text: str) -> str:
        return (tmp_path / "gone").read_text()

    async def act(app: Dashboard, pilot: Pilot[Any]) -> None:
        work = Work("Listing", ["runs", "ls", "--runs-dir", str(tmp_path / "runs")], shown)
        app.push_screen(work)
        await until(lambda: work.done is True, pilot.pause)
        await until(lambda: "first" in text_of(app) and "✓ Listing" in text_of(app), pilot.pause)

    drive(tmp_path / "runs", act)


def test_a_line_that_is_too_long_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("nanochat_tui.commands.LONGEST_LINE", 300)
    make_run(tmp_path / "runs", "n" * 100, tags=tuple(f"tag-{number:040d}" for number in range(20)))
    make_run(tmp_path / "runs", "short")

    async def session() -> list[str]:
        command = await Command.start(["runs", "ls", "--runs-dir", str(tmp_path / "runs")])
        command.end_input()
        lines = [line async for line in command.lines()]
        assert await command.wait() == 0
        return lines

    lines = asyncio.run(session())
    assert all(len(line) <= 600 for line in lines)


@pytest.mark.parametrize(
    "line", ["reading  1.2.3/4 MB", "reading  ,/. MB", "reading  1/., x", "a  ..../.... b", "  1/2 "]
)
def test_progress_that_is_none(line: str) -> None:
    assert line.strip() in progress([line], 1.0).plain


@pytest.mark.parametrize("path", ["~nobody-of-this-name/model.gguf", "x" * 300, "a\\b" * 90])
def test_paths_that_cannot_be(tmp_path: Path, path: str) -> None:
    """Typed wherever a path is asked for."""
    run = make_run(tmp_path / "runs", "first")
    add_checkpoint(run, 100)

    async def act(app: Dashboard, pilot: Pilot[Any]) -> None:
        await pilot.press("g", "end", "enter")
        await until(lambda: "Path of a model" in text_of(app), pilot.pause)
        app.screen.query_one(Input).value = path
        await pilot.press("enter")
        await until(lambda: "no such file or folder" in " ".join(text_of(app).replace("│", " ").split()), pilot.pause)
        await pilot.press("escape", "n")
        await until(lambda: "New run: from a preset" in text_of(app), pilot.pause)
        app.screen.query_one(Input).value = path
        await pilot.press("enter")
        await until(lambda: "no such file" in text_of(app) or "not a usable path" in text_of(app), pilot.pause)
        await pilot.press("escape")
        await until(lambda: app.screen is app.runs_screen, pilot.pause)

    drive(tmp_path / "runs", act)


def test_checkpoints_that_are_no_folder(tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs", "first", state="running")
    run.checkpoints.rmdir()
    run.checkpoints.write_text("a file")

    async def act(app: Dashboard, pilot: Pilot[Any]) -> None:
        await pilot.press("f")
        await until(lambda: "Not a directory" in said(app), pilot.pause)
        await pilot.press("g")
        await until(lambda: "Path of a model" in text_of(app), pilot.pause)
        await pilot.press("escape", "k")
        await until(lambda: isinstance(app.screen, CheckpointsScreen), pilot.pause)
        await until(lambda: "Not a directory" in text_of(app), pilot.pause)
        await pilot.press("E", "D", "k", "f", "escape")
        await until(lambda: app.screen is app.runs_screen, pilot.pause)

    drive(tmp_path / "runs", act)


def test_keys_before_the_checkpoints_are_read(tmp_path: Path) -> None:
    """The metrics are a pipe here, so that reading them takes as long as the test wants."""
    run = make_run(tmp_path / "runs", "first")
    add_checkpoint(run, 100)
    os.mkfifo(run.metrics)

    async def act(app: Dashboard, pilot: Pilot[Any]) -> None:
        await pilot.press("k")
        await until(lambda: isinstance(app.screen, CheckpointsScreen), pilot.pause)
        try:
            await until(lambda: "reading…" in text_of(app), pilot.pause)
            await pilot.press("E")
            await until(lambda: "the checkpoints are still being read" in said(app), pilot.pause)
        finally:
            run.metrics.write_text("")  # opening it lets the reader go on
        await until(lambda: step_name(100) in text_of(app), pilot.pause)

    drive(tmp_path / "runs", act)
