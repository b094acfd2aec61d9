"""The form, driven by keys and read as text; its checks and plans are the real commands."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from nanochat_framework.cli import main
from nanochat_framework.runs.jsonlines import read
from nanochat_framework.runs.status import StatusFile, liveness, read_status
from nanochat_tui.app import Dashboard
from nanochat_tui.commands import Command
from nanochat_tui.launch.form import FormScreen
from nanochat_tui.launch.pick import PickScreen, about
from tests.tui.run_folders import make_run, said, text_of, until

Act = Callable[[Dashboard, Pilot[Any]], Awaitable[None]]


def drive(runs_dir: Path, act: Act, size: tuple[int, int] = (120, 40)) -> None:
    """Open the dashboard, press n, do something."""

    async def session() -> None:
        app = Dashboard(runs_dir)
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await pilot.press("n")
            await until(lambda: isinstance(app.screen, PickScreen), pilot.pause)
            await act(app, pilot)

    asyncio.run(session())


async def fill(app: Dashboard, pilot: Pilot[Any], text: str) -> None:
    """Type into the line at hand, at once."""
    app.screen.query_one("#edit" if isinstance(app.screen, FormScreen) else Input, Input).value = text
    await pilot.pause()


async def open_form(app: Dashboard, pilot: Pilot[Any], target: str) -> FormScreen:
    await fill(app, pilot, target)
    await pilot.press("enter")
    await until(lambda: isinstance(app.screen, FormScreen), pilot.pause)
    form = app.screen
    assert isinstance(form, FormScreen)
    await settled(form, pilot)
    return form


async def settled(form: FormScreen, pilot: Pilot[Any]) -> None:
    """Checked, and planned if it is well."""
    await until(lambda: form.assessment.settled, pilot.pause)


async def change(form: FormScreen, pilot: Pilot[Any], key: str, text: str) -> None:
    """Put the cursor on a setting and type a value."""
    form.outline.select(key)
    await until(lambda: form.outline.row is not None and form.outline.row.key == key, pilot.pause)
    await pilot.press("enter")
    await fill(form.dashboard, pilot, text)
    await pilot.press("enter")


def line(app: Dashboard, start: str) -> str:
    """The line of the screen whose text begins with something."""
    return next((found for found in text_of(app).splitlines() if found.strip(" ●✗▾▸").startswith(start)), "")


def panel(app: Dashboard) -> str:
    """What stands to the right of the settings, as one line."""
    return " ".join(" ".join(found[74:] for found in text_of(app).splitlines()).split())


def test_presets_runs_and_paths_to_begin_with(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", "alpha", metrics={"train/loss": 2.5})

    async def act(app: Dashboard, pilot: Pilot[Any]) -> None:
        text = text_of(app)
        assert "like alpha" in text.splitlines()[2], "the run under the cursor comes first"
        assert about("tiny-cpu").startswith("the smallest model that learns to write something")
        assert "the smallest model that learns to write something" in line(app, "tiny-cpu")
        await fill(app, pilot, "two CPU")
        assert "tiny-cpu" in text_of(app) and "d20" not in text_of(app)
        await fill(app, pilot, "configs/nonesuch.toml")
        await pilot.press("enter")
        assert "configs/nonesuch.toml: no such file, and no preset of that name" in text_of(app)
        (tmp_path / "broken.toml").write_text("[model\n")
        form = await open_form(app, pilot, str(tmp_path / "broken.toml"))
        assert "not TOML" in text_of(app)
        await pilot.press("escape")
        await until(lambda: app.screen is app.runs_screen, pilot.pause)
        assert form.draft is app.last_form

    drive(tmp_path / "runs", act)


def test_values_are_checked_and_planned_as_they_are_typed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "check", "tiny-cpu", "--set", "model.dim=-4"]) == 2
    complaint = capsys.readouterr().err.splitlines()[0].removeprefix("error: ")

    async def act(app: Dashboard, pilot: Pilot[Any]) -> None:
        form = await open_form(app, pilot, "tiny-cpu")
        text = text_of(app)
        assert "✓ well" in text and "parameters 3,672,320" in text and "nothing was trained here yet" in panel(app)
        assert "log_every" not in text, "what nobody says is not shown"
        await change(form, pilot, "model.dim", "-4")
        await until(lambda: "✗ 1 problem" in text_of(app), pilot.pause)
        assert "● dim" in text_of(app) and "must be greater than 0 (got -4)" in line(app, "dim")
        assert complaint in text_of(app), "the words of the command"
        await pilot.press("s")
        await until(lambda: complaint in said(app), pilot.pause)
        assert form.is_current, "it is not started"
        await change(form, pilot, "model.dim", "320")
        await settled(form, pilot)
        assert "parameters 4,590,400" in text_of(app) and "--set model.dim=320" in text_of(app)
        await pilot.press("r")
        await settled(form, pilot)
        assert "parameters 3,672,320" in text_of(app) and "● dim" not in text_of(app)
        await pilot.press("space")
        await fill(app, pilot, "999")
        assert "dim =" in text_of(app) and "999" in line(app, "dim =")
        await pilot.press("escape")
        assert form.draft.changes == {}, "escape takes back what was typed"

    drive(tmp_path, act)


def test_components_are_chosen_settings_found_and_members_added(tmp_path: Path) -> None:
    async def act(app: Dashboard, pilot: Pilot[Any]) -> None:
        form = await open_form(app, pilot, "tiny-cpu")
        form.outline.select("model.ffn")
        await until(lambda: form.outline.row is not None and form.outline.row.key == "model.ffn", pilot.pause)
        await pilot.press("enter")
        await until(lambda: "Mixture of SwiGLU experts" in text_of(app), pilot.pause)
        await fill(app, pilot, "moe")
        await pilot.press("enter")
        await until(lambda: form.assessment.settled and "problem" in text_of(app), pilot.pause)
        assert "is missing, and ffn moe needs it" in text_of(app)
        await pilot.press("e")
        await until(
            lambda: form.outline.row is not None and form.outline.row.key in form.assessment.wrong(), pilot.pause
        )
        await pilot.press("slash")
        await fill(app, pilot, "log_every")
        await pilot.press("enter")
        await until(lambda: form.outline.row is not None and form.outline.row.key == "train.log_every", pilot.pause)
        form.outline.select("model.ffn")
        await until(lambda: form.outline.row is not None and form.outline.row.key == "model.ffn", pilot.pause)
        await pilot.press("r", "slash")
        await fill(app, pilot, "objective z_loss")
        await pilot.press("enter")
        await settled(form, pilot)
        assert form.draft.changes == {"objective": '[{ name = "z_loss" }]'}
        assert form.outline.row is not None and form.outline.row.key == "objective.0"
        await pilot.press("d")
        assert form.draft.changes == {"objective": "[]"}
        await pilot.press("v")
        await until(
            lambda: "The same as a file" in text_of(app) and 'extends = "tiny-cpu"' in text_of(app), pilot.pause
        )
        await pilot.press("c")
        assert app.clipboard == form.draft.command(tmp_path)
        await pilot.press("escape", "w")
        await fill(app, pilot, str(tmp_path / "mine.toml"))
        await pilot.press("enter")
        assert main(["config", "check", str(tmp_path / "mine.toml")]) == 0

    drive(tmp_path, act)


def test_a_name_that_is_taken_and_a_speed_that_is_known(tmp_path: Path) -> None:
    run = make_run(tmp_path, "alpha", metrics={"train/tokens_per_second": 1000.0})

    async def act(app: Dashboard, pilot: Pilot[Any]) -> None:
        form = await open_form(app, pilot, "tiny-cpu")
        assert "time 2 h 55 min at 1.00k tokens/s, as alpha had here" in panel(app)
        await change(form, pilot, "run name", "alpha")
        assert f"{tmp_path / 'alpha'}: the name is taken" in text_of(app)
        await change(form, pilot, "run name", "a b")
        assert "not a name for a run" in text_of(app)
        await change(form, pilot, "run name", "beta")
        assert "--run beta" in text_of(app) and "✓ well" in text_of(app)

    from nanochat_framework.config.load import load_config
    from nanochat_framework.plugins import load_plugins

    run.config_resolved.write_text(
        json.dumps(load_config("tiny-cpu", registry=load_plugins().registry).config.to_dict())
    )
    drive(tmp_path, act)


def test_what_it_waits_for_ends_with_it(tmp_path: Path, started: list[Command]) -> None:
    async def act(app: Dashboard, pilot: Pilot[Any]) -> None:
        await fill(app, pilot, "tiny-cpu")
        await pilot.press("enter")
        await until(lambda: len(started) >= 2, pilot.pause)
        await pilot.press("escape")
        await until(lambda: app.screen is app.runs_screen, pilot.pause)
        await until(lambda: not any(command.running for command in started), pilot.pause)

    drive(tmp_path, act)


def test_settings_that_cannot_be_asked_for_are_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command that knows them fails: its line stands there, and nothing is started."""
    broken = tmp_path / "broken"
    (broken / "nanochat_framework").mkdir(parents=True)
    (broken / "nanochat_framework" / "__init__.py").write_text("")
    (broken / "nanochat_framework" / "__main__.py").write_text("import sys; sys.exit('error: no command today')")
    monkeypatch.setenv("PYTHONPATH", str(broken))
    monkeypatch.setenv("PYTHONSAFEPATH", "1")

    async def act(app: Dashboard, pilot: Pilot[Any]) -> None:
        await fill(app, pilot, "tiny-cpu")
        await pilot.press("enter")
        await until(lambda: "✗ 1 problem" in text_of(app), pilot.pause)
        assert "✗ no command today" in text_of(app)
        await pilot.press("slash", "v", "w", "d", "s")
        await until(lambda: said(app).count("no command today") == 5, pilot.pause)
        assert isinstance(app.screen, FormScreen)

    drive(tmp_path / "runs", act)


@pytest.mark.parametrize("size", [(80, 24), (20, 5)])
def test_small_screens(tmp_path: Path, size: tuple[int, int]) -> None:
    async def act(app: Dashboard, pilot: Pilot[Any]) -> None:
        form = await open_form(app, pilot, "tiny-cpu")
        assert all(len(found) <= size[0] for found in text_of(app).splitlines())
        await pilot.press("down", "enter", "escape", "slash", "escape", "v", "escape", "question_mark", "escape")
        await pilot.resize_terminal(80, 24)
        await until(lambda: "3,672,320 parameters" in text_of(app), pilot.pause)
        assert form.is_current

    drive(tmp_path, act, size)


@pytest.mark.slow
def test_a_training_started_and_one_queued_from_the_form(tmp_path: Path) -> None:
    """Nothing stands in for anything; the second waits for a run that this test holds, and is cancelled."""
    tiny = {
        "model.dim": "32",
        "model.n_layers": "1",
        "model.attention.head_dim": "8",
        "data.source.name": "synthetic",
        "train.steps": "2",
        "train.batch_size": "1",
        "quantizer": "[]",
    }

    async def act(app: Dashboard, pilot: Pilot[Any]) -> None:
        form = await open_form(app, pilot, "tiny-cpu")
        form.draft.name = "first"
        for key, text in tiny.items():
            form.draft.set(key, text)
        form.changed()
        await pilot.press("s")
        await until(lambda: app.screen is app.runs_screen, pilot.pause)
        await finished(tmp_path / "first", pilot)
        holder = make_run(tmp_path, "holder", state="paused")
        await pilot.press("n", "enter")
        await until(lambda: isinstance(app.screen, FormScreen), pilot.pause)
        again = app.screen
        assert isinstance(again, FormScreen) and again.draft is form.draft, "the last form comes first"
        await settled(again, pilot)
        assert again.draft.name == "", "the name is taken now"
        await change(again, pilot, "run name", "second")
        await pilot.press("Q")
        await until(lambda: "second is queued" in said(app), pilot.pause)
        second = tmp_path / "second"
        await until(lambda: "1. after holder" in text_of(app), pilot.pause)
        StatusFile(holder.status).update(state="finished")
        await finished(second, pilot)

    drive(tmp_path, act)
    began = {name: next(e["time"] for e in read(tmp_path / name / "events.jsonl")) for name in ("first", "second")}
    assert began["first"] < began["second"]


async def finished(run: Path, pilot: Pilot[Any]) -> None:
    for _ in range(6):
        try:
            await until(lambda: liveness(read_status(run / "status.json")) == "finished", pilot.pause)
            return
        except AssertionError:
            continue
    raise AssertionError(f"{run} did not finish")
