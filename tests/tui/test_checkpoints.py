"""The screen of a run's checkpoints, driven by keys and read as text; forms, and commands under way in a window."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from nanochat_framework.errors import UsageError
from nanochat_framework.runs.checkpoint_store import CheckpointStore, step_name
from nanochat_framework.runs.checkpoints import checkpoints
from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.status import StatusFile
from nanochat_tui.app import Dashboard
from nanochat_tui.checkpoints.evaluating import EvaluationForm, shown_scores
from nanochat_tui.checkpoints.exporting import ExportForm
from nanochat_tui.checkpoints.forking import ForkForm
from nanochat_tui.checkpoints.rows import rows
from nanochat_tui.checkpoints.screen import CheckpointsScreen
from nanochat_tui.dialogs import Ask, Pick
from nanochat_tui.forms import Choice
from nanochat_tui.work import Work, progress
from tests.tui.run_folders import log_steps, make_run, said, text_of, until

Act = Callable[[CheckpointsScreen, Pilot[Any]], Awaitable[None]]


def add_checkpoint(run: RunDirectory, step: int) -> None:
    CheckpointStore(run.checkpoints).write(
        step_name(step), lambda folder: (folder / "weights").write_bytes(bytes(2_000_000)) and None
    )


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """Three checkpoints; the last evaluation is the best."""
    made = make_run(tmp_path / "runs", "first", step=500)
    log_steps(made, 1, 500)
    for step in (100, 300, 500):
        add_checkpoint(made, step)
    CheckpointStore(made.checkpoints).link(step_name(500), "best")
    return made


def drive(run: RunDirectory, act: Act, size: tuple[int, int] = (120, 36)) -> None:
    """Open the dashboard, go to the checkpoints of the run under the cursor, do something."""

    async def session() -> None:
        app = Dashboard(run.path.parent, seconds=0.05)
        async with app.run_test(size=size) as pilot:
            await until(lambda: "first" in text_of(app) or size[1] < 8, pilot.pause)
            await pilot.press("k")
            await until(lambda: isinstance(app.screen, CheckpointsScreen), pilot.pause)
            screen = app.screen
            assert isinstance(screen, CheckpointsScreen)
            await until(lambda: len(screen.found) == len(checkpoints(run)), pilot.pause)
            await act(screen, pilot)

    asyncio.run(session())


def row(screen: CheckpointsScreen, name: str) -> str:
    return next((line for line in text_of(screen.app).splitlines() if line.startswith(f" {name} ")), "")


def test_the_table(run: RunDirectory) -> None:
    (run.checkpoints / step_name(300) / "weights").write_bytes(b"torn")

    async def act(screen: CheckpointsScreen, pilot: Pilot[Any]) -> None:
        await until(lambda: "whole" in row(screen, "step_00000100"), pilot.pause)
        assert row(screen, "step_00000100").split()[1:5] == ["100", "2MB", "5.8392", "0.9000"]
        assert "✗ weights is not what was written" in row(screen, "step_00000300")
        assert "▸ 2.6925" in row(screen, "step_00000500") and "= best" in row(screen, "step_00000500")
        await until(lambda: "checkpoints of first  ✓ finished" in text_of(screen.app), pilot.pause)
        await until(lambda: "4 in 4.00" in text_of(screen.app).splitlines()[0], pilot.pause)
        await pilot.press("enter")
        await until(lambda: str(run.checkpoints / "best") in text_of(screen.app), pilot.pause)

    drive(run, act)


def test_keeping(run: RunDirectory) -> None:
    async def act(screen: CheckpointsScreen, pilot: Pilot[Any]) -> None:
        await pilot.press("k")
        await until(lambda: "best: is never pruned" in said(screen.app), pilot.pause)
        await pilot.press("ctrl+home", "k")
        await until(lambda: "✓ kept" in row(screen, "step_00000100"), pilot.pause)
        assert CheckpointStore(run.checkpoints).prune(1) == [step_name(300)]
        await until(lambda: not row(screen, "step_00000300"), pilot.pause)
        await pilot.press("D")
        await until(lambda: "step_00000100 is kept" in said(screen.app), pilot.pause)
        await pilot.press("k")
        await until(lambda: "✓ kept" not in row(screen, "step_00000100"), pilot.pause)

    drive(run, act)


def test_removing_asks_first(run: RunDirectory) -> None:
    async def act(screen: CheckpointsScreen, pilot: Pilot[Any]) -> None:
        app = screen.app
        await pilot.press("ctrl+home", "D")
        await until(lambda: isinstance(app.screen, Ask), pilot.pause)
        await until(lambda: "Remove step_00000100 of first (2MB)?" in text_of(app), pilot.pause)
        await pilot.press("n")
        await until(lambda: app.screen is screen, pilot.pause)
        assert row(screen, "step_00000100")
        await pilot.press("D", "y")
        await until(lambda: not row(screen, "step_00000100"), pilot.pause)
        assert not (run.checkpoints / step_name(100)).exists()
        await pilot.press("ctrl+end", "D")
        await until(lambda: isinstance(app.screen, Ask) and "so it frees no room" in text_of(app), pilot.pause)

    drive(run, act)


def test_a_run_that_trains(run: RunDirectory) -> None:
    """New ones appear, one that is being written is shown, the newest cannot be removed."""
    StatusFile(run.status).update(state="running", step=520)

    async def act(screen: CheckpointsScreen, pilot: Pilot[Any]) -> None:
        await until(lambda: "● running" in text_of(screen.app), pilot.pause)
        hidden = run.checkpoints / f".tmp-{step_name(600)}-{os.getpid()}"
        hidden.mkdir()
        await until(lambda: "being written…" in row(screen, "step_00000600"), pilot.pause)
        await pilot.press("ctrl+end", "D")
        await until(lambda: "step_00000600 is being written" in said(screen.app), pilot.pause)
        hidden.rmdir()
        add_checkpoint(run, 600)
        await until(lambda: "whole" in row(screen, "step_00000600"), pilot.pause)
        names = [each.name for each in screen.found]
        await pilot.press("ctrl+home", *["down"] * names.index(step_name(600)), "D")
        await until(lambda: "first is running and would go on from step_00000600" in said(screen.app), pilot.pause)
        assert (run.checkpoints / step_name(600)).exists()

    drive(run, act)


def test_the_last_one(run: RunDirectory) -> None:
    for name in (step_name(100), step_name(300), "best"):
        CheckpointStore(run.checkpoints).remove(name)

    async def act(screen: CheckpointsScreen, pilot: Pilot[Any]) -> None:
        await pilot.press("D")
        await until(lambda: "nothing would be left to go on from" in " ".join(text_of(screen.app).split()), pilot.pause)
        await pilot.press("y")
        await until(lambda: "No checkpoints yet." in text_of(screen.app), pilot.pause)
        await pilot.press("E", "f", "k", "D", "e")
        assert screen.is_current

    drive(run, act)


@pytest.mark.parametrize("size", [(80, 24), (20, 5)])
def test_small_screens(run: RunDirectory, size: tuple[int, int]) -> None:
    async def act(screen: CheckpointsScreen, pilot: Pilot[Any]) -> None:
        for key in ("up", "D", "n", "f", "escape", "question_mark", "escape"):
            await pilot.press(key)
            await pilot.pause()
            assert all(len(line) <= size[0] for line in text_of(screen.app).splitlines())
        if size[0] == 80:
            assert row(screen, "step_00000500").rstrip().endswith("= best")

    drive(run, act, size)


def test_leaving_while_exporters_are_looked_for(run: RunDirectory) -> None:
    """The screen goes while it waits for a command; that is no failure."""

    async def act(screen: CheckpointsScreen, pilot: Pilot[Any]) -> None:
        await pilot.press("E")
        app = screen.app
        await until(lambda: "looking for exporters" in text_of(app) or isinstance(app.screen, Pick), pilot.pause)

    drive(run, act)


def test_formats_come_from_the_registry_and_options_from_the_schema(run: RunDirectory) -> None:
    async def act(screen: CheckpointsScreen, pilot: Pilot[Any]) -> None:
        app = screen.app
        await pilot.press("E")
        await until(lambda: isinstance(app.screen, Pick), pilot.pause)
        names = ("gguf", "huggingface", "mhc", "safetensors")
        await until(lambda: all(name in text_of(app) for name in names), pilot.pause)
        await pilot.press("enter")
        await until(lambda: isinstance(app.screen, ExportForm), pilot.pause)
        form = app.screen
        assert isinstance(form, ExportForm)
        await until(lambda: "first-best.gguf" in text_of(app) and "‹ tq2_0 ›" in text_of(app), pilot.pause)
        assert "--option" not in form.arguments(form.values()), "what was left as it is is not asked for"
        await pilot.press("tab", "right", "tab", "left")
        options = form.arguments(form.values())
        assert [word for word in options if "=" in word] == ["architecture=llama", "type=q8_0"]
        assert "--check" in options
        await until(lambda: "Storage of matrices that training did not quantise" in text_of(app), pilot.pause)
        await pilot.press("escape")
        await until(lambda: app.screen is screen, pilot.pause)

    drive(run, act)


def test_a_file_that_is_there_is_replaced_on_the_second_word(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("first-best.gguf").write_text("old")
    form = ExportForm("first", run.checkpoints / "best", "gguf", [])

    async def act(screen: CheckpointsScreen, pilot: Pilot[Any]) -> None:
        app, closed = screen.app, []
        app.push_screen(form, closed.append)
        await until(lambda: app.screen is form and form.is_mounted, pilot.pause)
        await pilot.press("enter")
        await until(lambda: "is there already; enter again replaces it" in text_of(app), pilot.pause)
        await pilot.press("enter")
        await until(lambda: bool(closed), pilot.pause)
        assert closed[0] is not None and closed[0]["output"] == "first-best.gguf"

    drive(run, act)


def test_an_export_that_failed_can_be_changed(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """These checkpoints hold no model: the command says so, and the form comes again as it was filled in."""
    monkeypatch.chdir(tmp_path)

    async def act(screen: CheckpointsScreen, pilot: Pilot[Any]) -> None:
        app = screen.app
        await pilot.press("E")
        await until(lambda: isinstance(app.screen, Pick), pilot.pause)
        await pilot.press("enter")
        await until(lambda: isinstance(app.screen, ExportForm), pilot.pause)
        await pilot.press("backspace", "backspace", "tab", "right", "enter")
        await until(lambda: isinstance(app.screen, Work) and app.screen.done is False, pilot.pause)
        await pilot.press("enter")
        await until(lambda: isinstance(app.screen, ExportForm), pilot.pause)
        await until(lambda: "first-best.gg" in text_of(app) and "‹ llama ›" in text_of(app), pilot.pause)
        form = app.screen
        assert isinstance(form, ExportForm)
        assert "architecture=llama" in form.arguments(form.values())
        await pilot.press("escape")
        await until(lambda: app.screen is screen, pilot.pause)
        assert list(tmp_path.glob("*gg*")) == []

    drive(run, act)


def test_settings_of_a_fork_are_checked_by_the_command(run: RunDirectory) -> None:
    async def act(screen: CheckpointsScreen, pilot: Pilot[Any]) -> None:
        app = screen.app
        await pilot.press("ctrl+home", "f")
        await until(lambda: isinstance(app.screen, ForkForm), pilot.pause)
        form = app.screen
        assert isinstance(form, ForkForm)
        await until(lambda: "‹ step_00000100 ›" in text_of(app), pilot.pause)
        await pilot.press("tab", *"optimizer.0.lr=-1", "enter")
        await until(lambda: "optimizer.0.lr" in text_of(app).replace("optimizer.0.lr=-1", ""), pilot.pause)
        assert app.screen is form
        assert len(list(run.path.parent.iterdir())) == 1, "nothing was made"
        assert "--queue" not in form.arguments(form.values())
        await pilot.press("tab", "tab", "right")
        assert "‹ when the others have ended ›" in text_of(app)
        assert form.arguments(form.values())[-1] == "--queue"
        await pilot.press("escape")
        await until(lambda: app.screen is screen, pilot.pause)

    drive(run, act)


def test_a_command_is_followed_and_cancelled(run: RunDirectory) -> None:
    run.train_log.write_text("line\n")
    StatusFile(run.status).update(state="running")

    async def act(screen: CheckpointsScreen, pilot: Pilot[Any]) -> None:
        app = screen.app
        closed: list[bool | None] = []
        work = Work("Following", ["runs", "logs", str(run.path), "-f"])
        app.push_screen(work, closed.append)
        await until(lambda: work.command is not None and "starting…" in text_of(app), pilot.pause)
        await pilot.press("escape")
        await until(lambda: "✗ Following" in text_of(app) and "cancelled" in text_of(app), pilot.pause)
        assert work.command is not None and not work.command.running
        await pilot.press("enter")
        await until(lambda: closed == [False], pilot.pause)

    drive(run, act)


def test_what_a_command_gets_wrong_is_its_own_line(run: RunDirectory) -> None:
    async def act(screen: CheckpointsScreen, pilot: Pilot[Any]) -> None:
        work = Work("Showing", ["runs", "show", "nobody", "--runs-dir", str(run.path.parent)])
        screen.app.push_screen(work)
        await until(lambda: work.done is False, pilot.pause)
        await until(lambda: "no run 'nobody' in" in text_of(screen.app), pilot.pause)

    drive(run, act)


def test_verifying_shows_the_commands_table(run: RunDirectory) -> None:
    (run.checkpoints / step_name(100) / "weights").write_bytes(b"\1" * 2_000_000)

    async def act(screen: CheckpointsScreen, pilot: Pilot[Any]) -> None:
        await pilot.press("v")
        await until(lambda: "SHA-256" in text_of(screen.app), pilot.pause)
        assert "✓ Reading every byte of the checkpoints of first" in text_of(screen.app)

    drive(run, act)


def test_only_the_lowest_loss_stands_out(run: RunDirectory) -> None:
    CheckpointStore(run.checkpoints).link(step_name(500), "final")
    made = rows(checkpoints(run), [])
    losses = {name: cells[3] for name, cells in made.items()}
    assert losses["step_00000100"].plain == "5.8392" and not losses["step_00000100"].style
    assert losses["best"].plain == "▸ 2.6925" and losses["best"].style
    assert made["step_00000500"][-1].plain == "= best, final"
    assert made["best"][-1].plain == "= step_00000500"


def test_progress_as_the_command_tells_it() -> None:
    lines = ["reading first…", "storing  1.0/4.0 MB  2.0 MB/s  2 s left", "storing  3.0/4.0 MB  2.0 MB/s  1 s left"]
    assert progress([], 1.0).plain == "starting…   1s"
    text = progress(lines, 2.0).plain
    assert text.splitlines()[0] == "reading first…"
    assert text.splitlines()[1].startswith("storing  ██████████████████······  75%  3.0/4.0 MB")
    assert len(text.splitlines()) == 2, "one line for one piece of work"
    assert progress(["bits  0.0/0.0 MB"], 1.0).plain.startswith("bits  ····")


def test_scores_as_a_table() -> None:
    from rich.console import Console

    console = Console(width=80)
    with console.capture() as capture:
        console.print(
            shown_scores(
                '{"bpb": {"eval/bits_per_byte": {"value": 1.5, "unit": "bits/byte", "standard_error": 0.25,'
                ' "baselines": {"xz": 2.0}}}, "none": {}}'
            )
        )
    rows = [line.split() for line in capture.get().splitlines()]
    assert ["eval/bits_per_byte", "1.5000", "bits/byte", "±", "0.2500"] in rows
    assert ["xz", "2.0000", "bits/byte"] in rows


def test_tasks_that_are_none() -> None:
    form = EvaluationForm("first", Path("x"), {"bpb": "Bits per byte"})
    values = {"tasks": "bpb, nonsense", "data": "", "weights": "ema", "device": "cpu"}
    with pytest.raises(UsageError, match="there is no evaluation 'nonsense'; there are: bpb"):
        asyncio.run(form._checked(values))
    assert form.arguments({**values, "data": "d"})[-2:] == ["--data", "d"]


def test_a_form_is_given_up(run: RunDirectory) -> None:
    async def act(screen: CheckpointsScreen, pilot: Pilot[Any]) -> None:
        form = EvaluationForm("first", run.checkpoints / "best", {"bpb": "Bits"})
        closed: list[Any] = []
        screen.app.push_screen(form, closed.append)
        await until(lambda: form.is_mounted and bool(form.query(Choice)), pilot.pause)
        await pilot.press("tab", "tab", "right")
        assert form.values()["weights"] == "ema"
        await pilot.press("escape")
        await until(lambda: closed == [None], pilot.pause)

    drive(run, act)
