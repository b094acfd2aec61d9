"""A run's screen, driven by keys and read as text."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.events import EventLog
from nanochat_framework.runs.metrics import MetricsLog
from nanochat_framework.runs.status import StatusFile
from nanochat_tui.charts.widget import Chart
from nanochat_tui.log_view import LONGEST, LogView, clean
from nanochat_tui.run_screen import RunScreen
from tests.tui.at_run import drive
from tests.tui.run_folders import log_steps, make_run, said, text_of, until


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    made = make_run(tmp_path / "runs", "first", state="running", step=500, metrics={"train/loss": 2.5})
    log_steps(made, 1, 500)
    made.train_log.write_text("".join(f"step {i} loss {9 - i / 100:.2f}\n" for i in range(200)))
    made.samples.write_text(json.dumps({"step": 500, "prompt": "import ", "text": "os [b]\n"}) + "\n")
    return made


def text(screen: RunScreen) -> str:
    return text_of(screen.app)


def test_charts_of_a_run_that_grows(run: RunDirectory) -> None:
    async def act(screen: RunScreen, pilot: Pilot[Any]) -> None:
        await until(lambda: "gradient norm" in text(screen) and "⡇" in text(screen), pilot.pause)
        for title in ("loss  nats/token", "bits per byte", "learning rate", "speed  tokens/s", "memory  bytes"):
            assert title in text(screen)
        heading, figures = text(screen).splitlines()[:2]
        assert "first  ● running  ████···· 500/1k" in heading
        assert "loss 2.5000" in figures
        assert "matrix" in text(screen) and "rest" in text(screen), "a line has its label"
        log_steps(run, 501, 520)
        StatusFile(run.status).update(step=520, metrics={"train/loss": 2.25})
        await until(lambda: "520/1k" in text(screen) and "loss 2.2500" in text(screen), pilot.pause)
        loss = screen.query(Chart).first()
        assert len(loss.curves[0].series) == 520

    drive(run, act)


@pytest.mark.parametrize("no_color", [False, True])
def test_only_what_can_be_seen_is_in_sight(run: RunDirectory, monkeypatch: pytest.MonkeyPatch, no_color: bool) -> None:
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")

    async def act(screen: RunScreen, pilot: Pilot[Any]) -> None:
        below = screen.dashboard.runs_screen
        assert screen.in_sight and not below.in_sight
        await pilot.press("x")
        await until(lambda: "Stop first" in text(screen), pilot.pause)
        assert screen.in_sight, "behind a window"
        assert not below.in_sight
        await pilot.press("escape", "escape")
        await until(lambda: screen.app.screen is below, pilot.pause)
        assert below.in_sight and not screen.in_sight

    drive(run, act)


def test_what_does_not_change_is_not_drawn(run: RunDirectory) -> None:
    async def act(screen: RunScreen, pilot: Pilot[Any]) -> None:
        await until(lambda: "⡇" in text(screen), pilot.pause)
        await asyncio.sleep(0.3)
        before = [chart.redraws for chart in screen.query(Chart)]
        await asyncio.sleep(0.5)
        assert [chart.redraws for chart in screen.query(Chart)] == before

    drive(run, act)


def test_views_are_shared_by_all_charts(run: RunDirectory) -> None:
    async def act(screen: RunScreen, pilot: Pilot[Any]) -> None:
        await until(lambda: "⡇" in text(screen), pilot.pause)
        await pilot.press("left", "left")
        await pilot.pause()
        assert text(screen).count("step 490") >= 4
        await pilot.press("plus", "a")
        await pilot.pause()
        assert screen.grid.view.axis == "tokens"
        assert screen.grid.view.zoom is None
        await pilot.press("plus", "plus", "o", "l")
        await pilot.pause()
        assert screen.grid.view.zoom is not None
        assert text(screen).count("(log)") == 3
        await pilot.press("0")
        assert screen.grid.view.zoom is None

    drive(run, act)


def test_keys_of_charts_change_nothing_that_is_not_to_be_seen(run: RunDirectory) -> None:
    async def act(screen: RunScreen, pilot: Pilot[Any]) -> None:
        await until(lambda: "⡇" in text(screen), pilot.pause)
        await pilot.press("2", "l", "a", "o", "plus", "left")
        await until(lambda: "about charts, which are in another tab" in said(screen.app), pilot.pause)
        await pilot.press("1")
        view = screen.grid.view
        assert (view.axis, view.smoothing, view.zoom, view.cursor, screen.grid.log_scale) == (
            "step",
            0,
            None,
            None,
            False,
        )
        await pilot.press("5", "m")
        await until(lambda: "Further charts" in text(screen), pilot.pause)
        await pilot.press("space", "enter")
        await until(lambda: "train/entropy  nats/token" in text(screen), pilot.pause)

    drive(run, act)


def test_further_metrics(run: RunDirectory) -> None:
    async def act(screen: RunScreen, pilot: Pilot[Any]) -> None:
        await until(lambda: "⡇" in text(screen), pilot.pause)
        await pilot.press("m")
        await pilot.pause()
        assert "train/entropy" in text(screen)
        await pilot.press("space", "enter")
        await until(lambda: "train/entropy  nats/token" in text(screen), pilot.pause)

    drive(run, act)


def test_what_a_models_parts_record_has_charts(run: RunDirectory) -> None:
    """Experts' loads, streams and the like: a curve each, or the highest, mean and lowest of many."""

    def record(step: int, shift: float = 0.0) -> None:
        loads = {f"model/expert_load.{layer}.{n}": n / 8 + layer / 100 + shift for layer in range(2) for n in range(8)}
        streams = {f"model/stream_divergence.{place}": place / 10 for place in (0, 2, 10)}
        log = MetricsLog(run.metrics, 1)
        log.write(step=step, tokens=step, values={**loads, **streams, "model/composite_gain": 1.5})
        log.close()

    for step in range(501, 511):
        record(step)

    async def act(screen: RunScreen, pilot: Pilot[Any]) -> None:
        await until(lambda: "expert load  of 16" in text(screen) and "composite gain" in text(screen), pilot.pause)
        charts = {chart.title: chart for chart in screen.query(Chart)}
        assert [curve.label for curve in charts["stream divergence"].curves] == ["0", "2", "10"], "by their numbers"
        loads = charts["expert load  of 16"].curves
        assert [(curve.label, round(curve.series.values.values[-1], 4)) for curve in loads] == [
            ("highest", 0.885),
            ("mean", 0.4425),
            ("lowest", 0.0),
        ]
        record(511, shift=1.0)
        await until(lambda: len(loads[0].series) == 11, pilot.pause)
        assert loads[2].series.values.values[-1] == 1.0
        assert "model/expert_load.0.3" in screen.further_metrics(), "one alone may be chosen"

    drive(run, act, (160, 50))


def test_log_with_search(run: RunDirectory) -> None:
    async def act(screen: RunScreen, pilot: Pilot[Any]) -> None:
        await pilot.press("2")
        await until(lambda: "step 199" in text(screen), pilot.pause)
        await pilot.press("slash", *"step 17", "enter")
        log = screen.query_one(LogView)
        await until(lambda: log.line_count == 11, pilot.pause)
        with run.train_log.open("a") as file:
            file.write("step 17777\nstep 3\n")
        await until(lambda: log.line_count == 12, pilot.pause)
        await pilot.press("escape")
        await until(lambda: log.line_count == 202, pilot.pause)

    drive(run, act)


def test_from_match_to_match_among_all_lines(run: RunDirectory) -> None:
    async def act(screen: RunScreen, pilot: Pilot[Any]) -> None:
        await pilot.press("2")
        log = screen.query_one(LogView)
        await until(lambda: "following   200 lines" in text(screen), pilot.pause)
        await pilot.press("slash", *"STEP 15", "enter")
        await until(lambda: "11 with 'step 15'" in text(screen), pilot.pause)
        await pilot.press("n")
        await until(lambda: log.line_count == 200, pilot.pause)
        seen = []
        for key in ("n", "n", "N"):
            await pilot.press(key)
            await pilot.pause()
            seen.append(log.here)
            assert f"step {log.here} " in text(screen) and f"step {(log.here or 0) + 3} " in text(screen), "context"
        assert [place in (15, *range(150, 160)) for place in seen] == [True] * 3 and seen[0] == seen[2] != seen[1]
        assert "not following" in text(screen) and " of 11 with" in text(screen)
        marked = [s for strip in screen._compositor.render_strips() for s in strip if s.style and s.style.reverse]
        assert "step 15" in [s.text.lower() for s in marked], "where we are stands out"
        with run.train_log.open("a") as file:
            file.write("a new line\n")
        await until(lambda: log.line_count == 201, pilot.pause)
        assert "a new line" not in text(screen), "it stays where it is"
        await pilot.press("F")
        await until(lambda: "a new line" in text(screen) and " following" in text(screen), pilot.pause)
        await pilot.press("pageup")
        await until(lambda: "not following" in text(screen), pilot.pause)
        await pilot.press("ampersand")
        await until(lambda: log.line_count == 11, pilot.pause)

    drive(run, act)


def test_lines_as_programs_write_them() -> None:
    assert clean("\x1b[1;32mgreen\x1b[0m\ta\x00b") == "green   a␀b"
    assert clean("10 %\r50 %\r100 %\r") == "100 %"
    assert len(clean("x" * 10**6)) == LONGEST


def test_samples_and_events(run: RunDirectory) -> None:
    with run.samples.open("a") as file:
        file.write(json.dumps({"step": 501, "prompt": "x\x1b[2J", "text": "\x9b31m"}) + "\n")

    async def act(screen: RunScreen, pilot: Pilot[Any]) -> None:
        await pilot.press("3")
        await until(lambda: "x␛[2J\ufffd31m" in text(screen), pilot.pause)
        await until(lambda: "import os [b]" in text(screen), pilot.pause)
        log = EventLog(run.events, 1)
        log.write("alert", step=501, message="the loss is not a number")
        log.close()
        await pilot.press("4")
        await until(lambda: "! alert" in text(screen) and "the loss is not a number" in text(screen), pilot.pause)
        await until(lambda: "! 1 alert" in text(screen).splitlines()[0], pilot.pause)

    drive(run, act)


def test_back_to_all_runs_and_in_again(run: RunDirectory) -> None:
    async def act(screen: RunScreen, pilot: Pilot[Any]) -> None:
        app = screen.app
        await pilot.press("escape")
        await until(lambda: app.screen is not screen, pilot.pause)
        assert "first" in text_of(app)
        await pilot.press("enter")
        await until(lambda: isinstance(app.screen, RunScreen), pilot.pause)

    drive(run, act)


@pytest.mark.parametrize("size", [(80, 24), (20, 5), (9, 2)])
def test_small_screens(run: RunDirectory, size: tuple[int, int]) -> None:
    async def act(screen: RunScreen, pilot: Pilot[Any]) -> None:
        await pilot.pause()
        for key in ("2", "3", "4", "1", "left", "plus", "question_mark", "escape"):
            await pilot.press(key)
            assert all(len(line) <= size[0] for line in text(screen).splitlines())
        await pilot.resize_terminal(80, 24)
        await until(lambda: "loss  nats/token" in text(screen) and "learning rate" in text(screen), pilot.pause)

    drive(run, act, size)


def test_without_torch(run: RunDirectory) -> None:
    """In a fresh process: the whole screen is drawn, and torch and numpy are not there."""
    import subprocess
    import sys

    script = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom nanochat_framework.runs.directory import RunDirectory\n"
        "from nanochat_tui.app import Dashboard\nrun = RunDirectory(Path(sys.argv[1]))\n"
        "async def go():\n    app = Dashboard(run.path.parent, first=run)\n    async with app.run_test() as pilot:\n"
        "        for key in '1234': await pilot.press(key)\n"
        "asyncio.run(go())\nprint(*{'torch', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script, str(run.path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
