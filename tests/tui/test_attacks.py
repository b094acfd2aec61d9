"""What files, clocks, disks and hands can do to the dashboard: it may show less, and never ends with a traceback."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Footer, Tab, TabbedContent

from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.jsonlines import read
from nanochat_framework.runs.status import StatusFile
from nanochat_tui.app import Dashboard
from nanochat_tui.charts.widget import Chart
from nanochat_tui.dialogs import Help
from nanochat_tui.layout import Memory
from nanochat_tui.run_screen import RunScreen
from nanochat_tui.text_table import TextTable
from tests.small_disk import small_disk
from tests.tui.run_folders import log_steps, make_run, said, text_of, until

Act = Callable[[Dashboard, Pilot[Any]], Awaitable[None]]
YEAR = 365 * 86400.0
TABS = ("2", "3", "4", "5", "1")


def drive(runs_dir: Path, act: Act, *, first: RunDirectory | None = None, size: tuple[int, int] = (100, 30)) -> None:
    """Open the dashboard, do something, close it; an exception in it is raised here."""

    async def session() -> None:
        app = Dashboard(runs_dir, first=first, seconds=0.05)
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await act(app, pilot)

    asyncio.run(session())


def _mostly_slow(cases: Iterable[Any], *quick: Any) -> list[Any]:
    return [case if case in quick else pytest.param(case, marks=pytest.mark.slow) for case in cases]


async def looks(pilot: Pilot[Any], count: int = 3) -> None:
    """Let it look at its files a few times."""
    for _ in range(count):
        await asyncio.sleep(0.06)
        await pilot.pause()


async def to_the_runs(app: Dashboard, pilot: Pilot[Any]) -> None:
    """Out of everything that is open."""
    for _ in range(6):
        if app.screen is not app.runs_screen:
            await pilot.press("escape")
            await looks(pilot, 1)
    assert app.screen is app.runs_screen, app.screen


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    made = make_run(tmp_path / "runs", "first", state="running", step=300)
    log_steps(made, 1, 300)
    made.train_log.write_text("".join(f"step {i}\n" for i in range(100)))
    made.samples.write_text(json.dumps({"step": 300, "prompt": "a", "text": "b"}) + "\n")
    return made


def test_two_dashboards_on_one_run(run: RunDirectory) -> None:
    """One asks, the training answers once, both see it."""

    async def both() -> None:
        one, other = (Dashboard(run.path.parent, first=run, seconds=0.05) for _ in range(2))
        async with one.run_test(size=(100, 30)) as first, other.run_test(size=(100, 30)) as second:
            for app, pilot in ((one, first), (other, second)):
                await until(lambda app=app: isinstance(app.screen, RunScreen), pilot.pause)  # type: ignore[misc]
            await first.press("c")
            await second.press("p")
            await until(lambda: len(list(read(run.control))) == 2, first.pause)
            StatusFile(run.status).update(step=301, state="paused")
            for app, pilot in ((one, first), (other, second)):
                await until(lambda app=app: "paused" in text_of(app), pilot.pause)  # type: ignore[misc]

    asyncio.run(both())
    assert {record["command"] for record in read(run.control)} == {"checkpoint", "pause"}


def test_a_run_that_vanishes_while_it_is_shown(run: RunDirectory) -> None:
    async def act(app: Dashboard, pilot: Pilot[Any]) -> None:
        await until(lambda: "⡇" in text_of(app), pilot.pause)
        shutil.rmtree(run.path)
        for key in TABS:
            await pilot.press(key)
            await looks(pilot)
        for key in ("p", "c", "e", "u", "x", "escape", "t", "escape", "equals_sign", "escape"):
            await pilot.press(key)
            await pilot.pause()
        await to_the_runs(app, pilot)
        await until(lambda: "No runs yet" in text_of(app), pilot.pause)

    drive(run.path.parent, act, first=run)


def test_all_runs_vanish(run: RunDirectory) -> None:
    async def act(app: Dashboard, pilot: Pilot[Any]) -> None:
        await until(lambda: "first" in text_of(app), pilot.pause)
        shutil.rmtree(run.path.parent)
        await pilot.press("enter")
        await looks(pilot, 5)
        await pilot.press("escape")
        await until(lambda: "No runs yet" in text_of(app), pilot.pause)

    drive(run.path.parent, act)


GARBAGE = {
    "empty": b"",
    "binary": bytes(range(256)) * 50,
    "no newline": b'{"attempt": 1, "step": 1, "train/loss": 2',
    "not objects": b'[]\n1\nnull\n"x"\n{}\n[[[]]]\n',
    "a huge line": b'{"x": "' + b"y" * 3_000_000 + b'"}\n',
    "deep": b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"\n",
    "wrong types": b'{"attempt": "1", "step": null, "time": {}, "tokens": [], "kind": 5, "train/loss": {"a": 1}}\n' * 3,
    "wild numbers": b'{"attempt": 1, "step": 99999999999999999999, "time": 1e308, "tokens": -1e308, "train/loss": 1e308}\n'
    b'{"attempt": 1, "step": 100000000000000000000, "time": -1e308, "tokens": 1e308, "train/loss": -1e308}\n'
    b'{"attempt": 99999999999999999999, "step": -5, "time": -1, "tokens": 5, "train/loss": 1e-320}\n'
    b'{"attempt": 1, "step": 3, "time": 1, "tokens": 5, "train/loss": "NaN", "eval/loss": "-Infinity"}\n',
    "escapes": b'{"attempt": 1, "step": 1, "kind": "alert", "message": "\\u001b[2J\\u001b]0;x\\u0007[red]", "alert": "[b]",'
    b' "prompt": "\\u001b[2J[/]", "text": "\\u0000[", "time": 5, "tokens": 1, "[bold]/x": 1}\n\x1b[2J\x1b]0;title\x07[/red]\n',
    "surrogates": b'{"attempt": 1, "step": 1, "kind": "\\ud800", "message": "\\udfff", "prompt": "\\ud83d", "text": "\\ud83d",'
    b' "time": 1, "tokens": 1, "\\ud800": 1}\n',
}


@pytest.mark.parametrize("name", _mostly_slow(GARBAGE, "binary", "wild numbers"))
def test_garbage_in_every_file(run: RunDirectory, name: str) -> None:
    """All files of a run at once hold what no training writes; every screen is gone through."""
    files = [p for p in run.path.iterdir() if p.is_file()]
    for file in {*files, run.status, run.tags, run.control, run.events, run.samples, run.metrics, run.train_log}:
        file.write_bytes(GARBAGE[name])

    async def act(app: Dashboard, pilot: Pilot[Any]) -> None:
        await until(lambda: isinstance(app.screen, RunScreen), pilot.pause)
        for key in (*TABS, "a", "a", "o", "l", "left", "plus", "m", "escape", "p", "c", "t", "escape"):
            await pilot.press(key)
            await looks(pilot, 1)
            assert app.is_running and "\x1b" not in text_of(app)
        await looks(pilot)
        assert "first" in text_of(app)
        await to_the_runs(app, pilot)
        for key in ("s", "S", "space", "slash", *"lr>0.1", "enter", "escape"):
            await pilot.press(key)
        await looks(pilot, 1)

    drive(run.path.parent, act, first=run)


def test_garbage_while_it_is_shown(run: RunDirectory) -> None:
    """A file that was good is replaced, cut and appended to under the eyes of the screen."""

    async def act(app: Dashboard, pilot: Pilot[Any]) -> None:
        await until(lambda: "⡇" in text_of(app), pilot.pause)
        good = run.metrics.read_bytes()
        for content in (*GARBAGE.values(), good[: len(good) // 2], good):
            for file in (run.metrics, run.events, run.status, run.train_log):
                file.write_bytes(content)
            await looks(pilot, 2)
        for file in (run.metrics, run.train_log):
            file.unlink()
            file.mkdir()
        await looks(pilot)
        assert "first" in text_of(app)

    drive(run.path.parent, act, first=run)


@pytest.mark.parametrize(
    "what", ["a file", "below a file", "a loop of links", "a name that is too long", "nothing", "forbidden"]
)
def test_runs_dirs_that_are_none(tmp_path: Path, what: str) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "closed").mkdir(mode=0)
    if what == "forbidden" and os.access(tmp_path / "closed", os.R_OK):
        pytest.skip("nothing is forbidden to root")
    runs_dir = {
        "a file": tmp_path / "file",
        "below a file": tmp_path / "file" / "runs",
        "a loop of links": tmp_path / "loop",
        "a name that is too long": tmp_path / ("x" * 300),
        "nothing": tmp_path / "nothing",
        "forbidden": tmp_path / "closed",
    }[what]

    async def act(app: Dashboard, pilot: Pilot[Any]) -> None:
        await looks(pilot)
        for key in ("enter", "s", "p", "x", "D", "t", "u", "space"):
            await pilot.press(key)
        await looks(pilot)
        if what != "nothing":
            assert "cannot be read" in " ".join(text_of(app).split())
        else:
            assert "No runs yet" in text_of(app)

    drive(runs_dir, act)


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KiB; it is filled by the test."""
    with small_disk(tmp_path / "disk", "256k") as place:
        yield place


def test_a_full_disk(full_disk: Path) -> None:
    """Requests, tags and the layout are what the dashboard writes; each failure is a line, and nothing is lost."""
    run = make_run(full_disk / "runs", "first", state="running", step=3, tags=("before",))
    with (full_disk / "filler").open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 512):
                pass
        except OSError:
            pass
    memory = Memory(full_disk / "state" / "tui.json")

    async def session() -> None:
        app = Dashboard(run.path.parent, first=run, seconds=0.05, memory=memory)
        async with app.run_test(size=(100, 30)) as pilot:
            await until(lambda: isinstance(app.screen, RunScreen), pilot.pause)
            await pilot.press("c")
            await until(lambda: "space" in said(app), pilot.pause)
            await pilot.press("t")
            await pilot.pause()
            await pilot.press(*"after", "enter")
            await until(lambda: "space" in text_of(app) or said(app).count("space") > 1, pilot.pause)
            await pilot.press("escape")
            await until(lambda: "will not be remembered" in said(app), pilot.pause)

    asyncio.run(session())
    assert json.loads(run.tags.read_bytes()) == ["before"] or "before" in run.tags.read_text()


@pytest.mark.parametrize("jump", _mostly_slow([-10 * YEAR, 10 * YEAR, -1e12, 1e12], -10 * YEAR))
def test_the_clock_jumps(run: RunDirectory, jump: float, monkeypatch: pytest.MonkeyPatch) -> None:
    real, shift = time.time, [0.0]
    monkeypatch.setattr(time, "time", lambda: real() + shift[0])

    async def act(app: Dashboard, pilot: Pilot[Any]) -> None:
        await until(lambda: "⡇" in text_of(app), pilot.pause)
        shift[0] = jump
        log_steps(run, 301, 305)
        for key in (*TABS, "a", "a", "plus", "left"):
            await pilot.press(key)
            await looks(pilot, 1)
        shift[0] = 0.0
        log_steps(run, 306, 310)
        await looks(pilot)
        await pilot.press("0", "escape")
        await looks(pilot)
        assert "first" in text_of(app)

    drive(run.path.parent, act, first=run)


@pytest.mark.parametrize(
    "place", _mostly_slow(["runs", "1", "2", "3", "4", "5", "compare", "m", "t", "question_mark", "ctrl+p"], "1", "t")
)
def test_any_screen_gets_small_and_large_again(run: RunDirectory, place: str) -> None:
    make_run(run.path.parent, "second", step=5)

    async def act(app: Dashboard, pilot: Pilot[Any]) -> None:
        if place == "compare":
            await pilot.press("space", "down", "space", "C")
        elif place != "runs":
            app.open_run(run)
            await until(lambda: "⡇" in text_of(app), pilot.pause)
            await pilot.press(place)
        await looks(pilot, 2)
        for columns, rows in ((20, 5), (200, 60), (1, 1), (20, 5), (100, 30)):
            await pilot.resize_terminal(columns, rows)
            await looks(pilot, 1)
            lines = text_of(app).splitlines()
            assert len(lines) <= rows and all(len(line) <= columns for line in lines)
        assert "run" in text_of(app) or "first" in text_of(app)

    drive(run.path.parent, act)


def test_the_mouse(run: RunDirectory) -> None:
    make_run(run.path.parent, "second", days=9)

    async def act(app: Dashboard, pilot: Pilot[Any]) -> None:
        await until(lambda: "first" in text_of(app) and "second" in text_of(app), pilot.pause)
        rows = text_of(app).splitlines()
        row = next(number for number, line in enumerate(rows) if " first " in line)
        await pilot.click(TextTable, offset=(3, row - app.screen.query_one(TextTable).region.y))
        await until(lambda: isinstance(app.screen, RunScreen) and "⡇" in text_of(app), pilot.pause)
        screen = app.screen
        assert isinstance(screen, RunScreen)
        chart = screen.query(Chart).first()
        await pilot.click(chart, offset=(chart.size.width // 2, 4))
        assert screen.grid.view.cursor is not None
        assert "step 1" in text_of(app), "the values at the cursor"
        await pilot._post_mouse_events([_wheel()], chart, offset=(chart.size.width // 2, 4), control=True)
        await until(lambda: screen.grid.view.zoom is not None, pilot.pause)
        for tab, name in zip(screen.query(Tab), ("charts", "log", "samples", "events", "system"), strict=False):
            await pilot.click(tab)
            await until(lambda name=name: screen.query_one(TabbedContent).active == name, pilot.pause)  # type: ignore[misc]
        footer = screen.query_one(Footer)
        line = text_of(app).splitlines()[footer.region.y]
        await pilot.click(Footer, offset=(line.index("help") + 1, 0))
        await until(lambda: isinstance(app.screen, Help), pilot.pause)

    drive(run.path.parent, act, size=(120, 36))


def _wheel() -> Any:
    from textual.events import MouseScrollUp

    return MouseScrollUp


def test_help_needs_no_terminal() -> None:
    """And nothing of the dashboard's toolkit: `--help` is quick."""
    script = "import sys\nfrom nanochat_framework import cli\ntry:\n    cli.main(['tui', '--help'])\nexcept SystemExit: pass\n"
    script += "print('textual' in sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "False"
