"""Runs side by side, driven by keys and read as text."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from nanochat_framework.errors import UsageError
from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.metrics import MetricsLog
from nanochat_framework.runs.status import StatusFile
from nanochat_tui.app import Dashboard
from nanochat_tui.charts.curve import Curve
from nanochat_tui.charts.picture import draw
from nanochat_tui.charts.view import View
from nanochat_tui.charts.widget import Chart
from nanochat_tui.compare.marks import MOST, Marks
from nanochat_tui.compare.screen import CompareScreen
from nanochat_tui.compare.texts import last_common_step
from nanochat_tui.feed import RunFeed
from nanochat_tui.palette import SIGNS, palette
from nanochat_tui.run_screen import RunScreen
from nanochat_tui.text_table import TextTable
from tests.tui.run_folders import log_steps, make_run, said, text_of, until
from tests.tui.test_picture import series

Act = Callable[[Dashboard, Pilot[Any]], Awaitable[None]]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Three runs, the newest of which trains; `b` sampled later than the others."""
    for days, (name, lr, last) in enumerate((("c", 0.02, 300), ("b", 0.01, 500), ("a", 0.04, 400))):
        run = make_run(tmp_path, name, lr=lr, step=last, days=days, state="running" if name == "c" else "finished")
        log_steps(run, 1, last)
        texts = [
            {"step": step, "prompt": "import ", "text": f"{name} wrote {step}"} for step in range(100, last + 1, 100)
        ]
        run.samples.write_text("".join(json.dumps(text) + "\n" for text in texts))
    return tmp_path


def drive(runs: Path, act: Act, size: tuple[int, int] = (120, 36)) -> None:
    async def session() -> None:
        app = Dashboard(runs, seconds=0.05)
        async with app.run_test(size=size) as pilot:
            await until(lambda: "c" in text_of(app), pilot.pause)
            await act(app, pilot)

    asyncio.run(session())


async def compare_all(app: Dashboard, pilot: Pilot[Any]) -> CompareScreen:
    await pilot.press("space", "space", "space", "C")
    await until(lambda: isinstance(app.screen, CompareScreen) and "compare " in text_of(app), pilot.pause)
    screen = app.screen
    assert isinstance(screen, CompareScreen)
    return screen


def test_a_mark_is_seen_and_keeps_its_colour(runs: Path) -> None:
    async def act(app: Dashboard, pilot: Pilot[Any]) -> None:
        await pilot.press("C")
        assert "mark two runs or more" in said(app)
        await pilot.press("space", "space", "space")
        await until(lambda: f"{SIGNS[0]} c" in text_of(app) and f"{SIGNS[2]} a" in text_of(app), pilot.pause)
        assert "3 marked: C compares" in text_of(app)
        await pilot.press("up", "up", "space")  # c no longer
        await until(lambda: f"{SIGNS[0]} c" not in text_of(app), pilot.pause)
        assert f"{SIGNS[1]} b" in text_of(app) and f"{SIGNS[2]} a" in text_of(app)

    drive(runs, act)


def test_marks_have_an_end() -> None:
    marks = Marks()
    for number in range(MOST):
        marks.toggle(str(number))
    with pytest.raises(UsageError, match="7 runs are marked"):
        marks.toggle("more")
    marks.toggle("3")
    marks.toggle("more")
    assert marks.place("more") == 3
    assert marks.place("6") == 6
    marks.forget_others({"6", "0"})
    assert marks.paths() == ["0", "6"]


def test_curves_of_one_metric_and_values_at_the_cursor(runs: Path) -> None:
    async def act(app: Dashboard, pilot: Pilot[Any]) -> None:
        screen = await compare_all(app, pilot)
        await until(lambda: "loss  training" in text_of(app) and "⡇" in text_of(app), pilot.pause)
        lines = text_of(app).splitlines()
        assert f"{SIGNS[0]} c running 300/1k" in lines[1].replace("\u00a0", " ")
        assert f"{SIGNS[1]} b finished" in lines[1].replace("\u00a0", " ")
        for title in (
            "loss  held-out",
            "bits per byte",
            "gradient norm",
            "speed  tokens/s",
            "train/learning_rate/matrix",
        ):
            assert title in text_of(app)
        chart = screen.query(Chart).first()
        assert [len(curve.series) for curve in chart.curves] == [300, 500, 400]
        await until(lambda: "● 3.339" in text_of(app) and "▲ 2.493" in text_of(app), pilot.pause)
        for _ in range(16):
            await pilot.press("left")
        await until(lambda: "step 350" in text_of(app), pilot.pause)
        assert "● -" in text_of(app), "c has not come so far"
        assert text_of(app).count("▲ 3.04") >= 1 and text_of(app).count("■ 3.04") >= 1
        await pilot.press("m")
        await pilot.pause()
        await pilot.press("space", "enter")
        await until(lambda: len(screen.query(Chart)) == 7, pilot.pause)

    drive(runs, act)


def test_runs_that_train_are_followed(runs: Path) -> None:
    async def act(app: Dashboard, pilot: Pilot[Any]) -> None:
        screen = await compare_all(app, pilot)
        await until(lambda: "⡇" in text_of(app), pilot.pause)
        run = RunDirectory(runs / "c")
        log_steps(run, 301, 310)
        StatusFile(run.status).update(step=310)
        await until(lambda: "310/1k" in text_of(app), pilot.pause)
        chart = screen.query(Chart).first()
        await until(lambda: len(chart.curves[0].series) == 310, pilot.pause)

    drive(runs, act)


def test_what_differs_and_what_is_best(runs: Path) -> None:
    log = MetricsLog(RunDirectory(runs / "b").metrics, 1)
    log.write(step=500, tokens=500 * 4096, values={"eval/loss": 1.25, "train/tokens_per_second": 20_000.0})
    log.close()

    async def act(app: Dashboard, pilot: Pilot[Any]) -> None:
        screen = await compare_all(app, pilot)
        await pilot.press("2")
        await until(lambda: "optimizer.0.lr" in text_of(app), pilot.pause)
        row = next(line for line in text_of(app).splitlines() if "optimizer.0.lr" in line)
        assert row.split()[-3:] == ["0.02", "0.01", "0.04"]
        assert "1 key differs; all others are alike" in text_of(app)
        assert "model.dim" not in text_of(app)
        await pilot.press("3")
        await until(lambda: "eval/loss" in text_of(app), pilot.pause)
        row = next(line for line in text_of(app).splitlines() if "eval/loss" in line)
        assert "▸ 1.2500" in row and row.count("▸") == 1
        speed = next(line for line in text_of(app).splitlines() if "tokens_per_second" in line)
        assert "▸ 20k" in speed
        assert screen.query_one("#finals-table", TextTable).has_focus

    drive(runs, act)


def test_texts_of_the_last_common_step(runs: Path) -> None:
    async def act(app: Dashboard, pilot: Pilot[Any]) -> None:
        await compare_all(app, pilot)
        await pilot.press("4")
        await until(lambda: "b wrote 300" in text_of(app), pilot.pause)
        row = next(line for line in text_of(app).splitlines() if "b wrote 300" in line)
        assert row.split() == ["c", "wrote", "300", "b", "wrote", "300", "a", "wrote", "300"]
        assert "step 300" in text_of(app)
        await pilot.resize_terminal(50, 24)
        lines = ["● c", "c wrote 300", "▲ b", "b wrote 300", "■ a", "a wrote 300"]
        await until(lambda: all(line in map(str.strip, text_of(app).splitlines()) for line in lines), pilot.pause)

    drive(runs, act)


def test_the_learning_rate_that_differs_has_a_chart(runs: Path) -> None:
    for name, rate in (("a", 0.5), ("b", 0.25)):
        log = MetricsLog(RunDirectory(runs / name).metrics, 1)
        log.write(step=600, tokens=600 * 4096, values={"train/learning_rate/rest": rate})
        log.close()

    async def act(app: Dashboard, pilot: Pilot[Any]) -> None:
        await compare_all(app, pilot)
        await until(lambda: "train/learning_rate/rest" in text_of(app), pilot.pause)
        assert "train/learning_rate/matrix" not in text_of(app)

    drive(runs, act)


def test_no_step_in_common() -> None:
    assert last_common_step([{1: "a", 3: "b"}, {3: "c", 5: "d"}]) == 3
    assert last_common_step([{1: "a"}, {2: "b"}]) is None


@pytest.mark.parametrize("size", [(80, 24), (20, 5)])
def test_small_screens_and_files_that_are_none(runs: Path, size: tuple[int, int]) -> None:
    (runs / "b" / "config.resolved.json").write_text("{")
    (runs / "b" / "samples.jsonl").write_text('{"step": 100}\n[]\n{"step": "x", "prompt": 3}\n')

    async def act(app: Dashboard, pilot: Pilot[Any]) -> None:
        await compare_all(app, pilot)
        for key in ("1", "left", "plus", "2", "3", "4", "question_mark", "escape"):
            await pilot.press(key)
            await pilot.pause()
            assert all(len(line) <= size[0] for line in text_of(app).splitlines())
        if size[0] == 80:
            await pilot.press("2")
            note = app.screen.query_one("#differences-note", Static)
            await until(lambda: "config.resolved.json: cannot be read" in str(note.content), pilot.pause)
            await pilot.press("1")
            await until(lambda: "loss  training" in text_of(app) and "▲" in text_of(app), pilot.pause)

    drive(runs, act, size)


def test_signs_on_lines_where_there_are_no_colours() -> None:
    curves = [Curve(series([2.0] * 60), "a", colour=3, sign="◆"), Curve(series([1.0] * 60), "b", colour=1, sign="▲")]
    picture = draw(curves, 60, 12, View(legend="signs", signs_on_lines=True), title="x")
    assert picture.text().count("◆") == 1 + 3
    assert picture.text().count("▲") == 1 + 4
    assert "◆ 2" in picture.text() and "▲ 1" in picture.text()
    roles = {role for row in picture.rows for text, role in row if "◆" in text}
    assert roles == {"line.3"}
    assert len(SIGNS) == len(palette().curves)
    plain = draw(curves, 60, 12, View(legend="signs"), title="x")
    assert plain.text().count("◆") == 1


def test_looks_that_catch_up_do_not_pile_up(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often a screen looks while there is more to read, one further look waits."""

    async def act(app: Dashboard, pilot: Pilot[Any]) -> None:
        screens = [await compare_all(app, pilot)]
        app.open_run(RunDirectory(runs / "a"))
        await until(lambda: isinstance(app.screen, RunScreen) and "gradient norm" in text_of(app), pilot.pause)
        monkeypatch.setattr(RunFeed, "poll", lambda self: True)
        for screen in (app.screen, *screens):
            assert isinstance(screen, RunScreen | CompareScreen)
            waiting: list[Any] = []
            monkeypatch.setattr(type(screen), "in_sight", True)
            monkeypatch.setattr(screen, "set_timer", lambda *given, waiting=waiting: waiting.append(given))
            screen._catching_up = False
            for _ in range(5):
                screen.look()
            assert len(waiting) == 1
            waiting[0][1]()
            assert len(waiting) == 2, "that one looks, and asks for the next"

    drive(runs, act)
