"""The table of runs, driven by keys and read as text."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from nanochat_framework.runs.status import StatusFile
from nanochat_framework.runs.summary import summarize
from nanochat_framework.runs.tags import read_tags
from nanochat_tui.app import Dashboard
from nanochat_tui.filters import parse
from nanochat_tui.formats import COLUMNS, bar, columns
from nanochat_tui.watch import RunsWatch
from tests.tui.run_folders import make_run, said, text_of, until


@pytest.fixture
def runs_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    good = {"train/loss": 2.51234, "eval/bits_per_byte": 0.9876, "train/tokens_per_second": 20480.0}
    make_run(folder, "alpha", step=1000, metrics=good, tags=("good",), days=9)
    make_run(folder, "beta", state="running", step=250, metrics=good, lr=0.02, days=3)
    make_run(folder, "gamma", state="running", step=40, gone=True, days=2)
    make_run(folder, "delta", state="failed", step=7, metrics={"train/loss": float("nan")}, days=1)
    return folder


def drive(
    runs_dir: Path, act: Callable[[Dashboard, Pilot[Any]], Awaitable[None]], size: tuple[int, int] = (124, 16)
) -> None:
    """Open the dashboard, do something, close it."""

    async def session() -> None:
        app = Dashboard(runs_dir)
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await act(app, pilot)

    asyncio.run(session())


def names(app: Dashboard) -> list[str]:
    return [run.name for run in app.runs_screen.ordered()]


def under_cursor(app: Dashboard) -> str:
    run = app.runs_screen.target()
    return run.name if run is not None else ""


TABLE = """\
 name      state       step                      loss  bits/byte  tokens/s     ETA     age  tags
 beta      ● running   ██······ 250/1k         2.5123     0.9876    20.48k   2m30s      3d
 delta     ✗ failed    ········ 7/1k              NaN          -         -       -      1d
 gamma     ? lost      ▍······· 40/1k               -          -         -       -      2d
 alpha     ✓ finished  ████████ 1k/1k          2.5123     0.9876    20.48k       -      9d  good"""


def test_the_table(runs_dir: Path) -> None:
    async def act(app: Dashboard, pilot: Pilot[Any]) -> None:
        heading, *rows = text_of(app).splitlines()
        assert heading.startswith(" nanochat  4 runs  ✗ 1 failed  ✓ 1 finished  ? 1 lost  ● 1 running  in /")
        assert "\n".join(rows[:5]) == TABLE
        assert "/ find" in rows[-1] and "q quit" in rows[-1]

    drive(runs_dir, act)


def test_a_change_is_shown(runs_dir: Path) -> None:
    async def act(app: Dashboard, pilot: Pilot[Any]) -> None:
        run = next(run.run for run in app.runs_screen.listing.runs if run.name == "beta")
        StatusFile(run.status).update(step=500, tokens=500 * 4096)
        await until(lambda: "500/1k" in text_of(app), pilot.pause)
        make_run(runs_dir, "new", state="queued", days=0)
        await until(lambda: "new" in names(app), pilot.pause)

    drive(runs_dir, act)


def test_filtering_while_typing(runs_dir: Path) -> None:
    async def act(app: Dashboard, pilot: Pilot[Any]) -> None:
        await pilot.press("slash", *"lr>0.01")
        await pilot.pause()
        assert names(app) == ["beta"]
        await pilot.press(*" (", "enter")
        await until(lambda: "a condition is missing at the end" in said(app), pilot.pause)
        assert names(app) == ["beta"], "a filter that is none changes nothing"
        app.runs_screen.query_one(Input).value = "state=lost or tag=good"
        await pilot.press("enter")
        await pilot.pause()
        assert names(app) == ["gamma", "alpha"]
        app.runs_screen.query_one(Input).value = "nonesuch"
        await pilot.pause()
        assert "No run is like 'nonesuch'" in text_of(app)
        await pilot.press("escape")
        await pilot.pause()
        assert len(names(app)) == 4

    drive(runs_dir, act)


def test_sorting(runs_dir: Path) -> None:
    async def act(app: Dashboard, pilot: Pilot[Any]) -> None:
        assert names(app) == ["beta", "delta", "gamma", "alpha"], "what trains, then the newest"
        await pilot.press("s")
        await pilot.pause()
        assert names(app) == ["alpha", "beta", "delta", "gamma"]
        assert "name▼" in text_of(app)
        await pilot.press("S")
        assert names(app) == ["gamma", "delta", "beta", "alpha"]
        await pilot.press("S", "s", "s", "s")
        assert names(app)[2:] == ["delta", "gamma"], "a loss that is none comes last"
        await pilot.press(*"s" * (len(columns(124)) - 3))
        assert names(app) == ["beta", "delta", "gamma", "alpha"]

    drive(runs_dir, act)


def test_tagging(runs_dir: Path) -> None:
    async def act(app: Dashboard, pilot: Pilot[Any]) -> None:
        await pilot.press("down", "down", "down", "t", *"-bad ok", "enter")
        await until(lambda: "alpha has no tag 'bad'" in text_of(app), pilot.pause)
        field = app.screen.query_one(Input)
        field.value = "-good best"
        await pilot.press("enter")
        await pilot.pause()
        assert read_tags(app.runs_screen.listing.runs[0].run) == ("best",)
        assert "best" in text_of(app)

    drive(runs_dir, act)


def test_another_name(runs_dir: Path) -> None:
    async def act(app: Dashboard, pilot: Pilot[Any]) -> None:
        await pilot.press("A", *"alpha", "enter")
        await until(lambda: "taken by run alpha" in text_of(app), pilot.pause)
        app.screen.query_one(Input).value = "ground"
        await pilot.press("enter")
        await until(lambda: "ground (beta)" in text_of(app), pilot.pause)
        await pilot.press("enter")
        await until(lambda: " ground (beta)  ● running" in text_of(app), pilot.pause)
        await pilot.press("A")
        await until(lambda: "Another name for beta" in text_of(app), pilot.pause)
        app.screen.query_one(Input).value = ""
        await pilot.press("enter")
        await until(lambda: " beta  ● running" in text_of(app), pilot.pause)
        assert not (runs_dir / "beta" / "alias.json").exists()

    drive(runs_dir, act)


def test_the_cursor_stays_where_a_run_was_deleted(runs_dir: Path) -> None:
    """Not at the first row, where the next D would be about another run than meant. A mark on it is gone with it."""
    for number in range(5):
        make_run(runs_dir, f"old-{number}", days=20 + number)

    async def act(app: Dashboard, pilot: Pilot[Any]) -> None:
        await until(lambda: "old-4" in text_of(app), pilot.pause)
        await pilot.press("ctrl+end", "up", "up", "space", "space", "up")
        await until(lambda: "2 marked" in text_of(app), pilot.pause)
        assert under_cursor(app) == "old-3"
        await pilot.press("D", "y")
        await until(lambda: "old-3" not in names(app), pilot.pause)
        await until(lambda: under_cursor(app) == "old-4" and "1 marked" in text_of(app), pilot.pause)

    drive(runs_dir, act)


def test_deleting_asks_and_refuses_a_run_that_trains(runs_dir: Path) -> None:
    async def act(app: Dashboard, pilot: Pilot[Any]) -> None:
        await pilot.press("D")
        await until(lambda: "beta is running; x stops it first" in said(app), pilot.pause)
        assert app.screen is app.runs_screen, "nothing is asked"
        await pilot.press("down", "D")
        await until(lambda: "Delete delta" in text_of(app), pilot.pause)
        await pilot.press("enter")
        await pilot.pause()
        assert (runs_dir / "delta").is_dir(), "enter is no yes"
        await pilot.press("D", "y")
        await until(lambda: "delta" not in names(app), pilot.pause)
        assert not (runs_dir / "delta").exists()

    drive(runs_dir, act)


def test_help_and_palette_come_from_the_table_of_keys(runs_dir: Path) -> None:
    async def act(app: Dashboard, pilot: Pilot[Any]) -> None:
        await pilot.press("question_mark")
        await pilot.pause()
        assert "delete the run and everything in it" in text_of(app)
        await pilot.press("escape", "ctrl+p", *"turn round", "enter")
        await until(lambda: names(app)[0] == "alpha", pilot.pause)

    drive(runs_dir, act, size=(100, 40))


@pytest.mark.parametrize("size", [(80, 24), (20, 5), (10, 2)])
def test_small_screens(runs_dir: Path, size: tuple[int, int]) -> None:
    async def act(app: Dashboard, pilot: Pilot[Any]) -> None:
        text = text_of(app)
        assert all(len(line) <= size[0] for line in text.splitlines())
        assert "●" in text or size[1] < 5
        await pilot.press("s", "question_mark", "escape", "slash", "a", "enter", "escape", "down", "t", "escape")
        await pilot.resize_terminal(100, 20)
        await pilot.pause()
        assert "beta" in text_of(app)

    drive(runs_dir, act, size)


def test_help_and_the_way_out_are_always_at_the_bottom(runs_dir: Path) -> None:
    """Keys that do not fit go, from the end; nothing is drawn over anything."""

    async def act(app: Dashboard, pilot: Pilot[Any]) -> None:
        for columns_, expected in (
            (80, "/ find p pause x stop n new run k checkpoints f fork ? help q quit  ▏^p palette"),
            (60, "/ find p pause x stop n new run ? help q quit   ▏^p palette"),
            (20, "? help q quit"),
            (130, "f fork C compare s sort ? help q quit"),
        ):
            await pilot.resize_terminal(columns_, 16)
            await until(lambda expected=expected: expected in text_of(app).splitlines()[-1], pilot.pause)  # type: ignore[misc]

    drive(runs_dir, act)


def test_an_empty_folder_says_so(tmp_path: Path) -> None:
    async def act(app: Dashboard, pilot: Pilot[Any]) -> None:
        assert "No runs yet" in text_of(app)

    drive(tmp_path / "none", act)


def test_only_what_changed_is_read_again(runs_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = RunsWatch(runs_dir)
    assert watch.poll()
    read: list[str] = []
    monkeypatch.setattr(
        "nanochat_tui.watch.summarize", lambda run, now: (read.append(run.name), summarize(run, now))[1]
    )
    assert not watch.poll()
    assert read == []
    StatusFile(runs_dir / "beta" / "status.json").update(step=251)
    assert watch.poll()
    assert read == ["beta"]


def test_a_filter_sees_the_configuration_of_now(runs_dir: Path) -> None:
    """A run that was removed and made again under its name has another one."""
    watch, wanted = RunsWatch(runs_dir), parse("lr>0.015")
    watch.poll()
    assert [run.name for run in watch.matching(wanted)] == ["beta"]
    shutil.rmtree(runs_dir / "alpha")
    make_run(runs_dir, "alpha", lr=0.03)
    watch.poll()
    assert [run.name for run in watch.matching(wanted)] == ["alpha", "beta"]


def test_bars_and_columns() -> None:
    assert [bar(share, 4) for share in (-1.0, 0.0, 0.5, 1 / 32, 2.0, float("nan"))] == [
        "····", "····", "██··", "▏···", "████", "····",
    ]  # fmt: skip
    assert [column.name for column in columns(40)] == ["name", "state"]
    assert columns(200) == list(COLUMNS)
    assert [column.name for column in columns(80)] == ["name", "state", "step", "loss", "ETA"]
    assert [column.name for column in columns(80, 15)] == ["name", "state", "step", "loss", "tokens/s", "ETA"]
    assert columns(80, 16) == columns(80), "a longer name needs the room itself"
    assert columns(140, 100) == columns(140), "what there is room for at any rate stays"
