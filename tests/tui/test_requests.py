"""Asking a run for something, with a training's own side of the protocol answering; starting and resuming trainings."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from nanochat_framework.errors import UsageError
from nanochat_framework.runs.control import ControlInbox
from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.events import EventLog
from nanochat_framework.runs.jsonlines import read
from nanochat_framework.runs.status import StatusFile
from nanochat_tui.app import Dashboard
from nanochat_tui.requests import Requests
from nanochat_tui.run_screen import RunScreen
from tests.tui.at_run import drive
from tests.tui.run_folders import log_steps, make_run, said, text_of, until


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    made = make_run(tmp_path / "runs", "first", state="running", step=5)
    log_steps(made, 1, 5)
    return made


def answer(run: RunDirectory, how: str, **facts: Any) -> dict[str, Any]:
    """Answer the newest request as a training does."""
    (*_, request) = ControlInbox(run.control).earlier
    log = EventLog(run.events, 1)
    log.write("acknowledged", id=request["id"], command=request["command"], answer=how, **facts)
    log.close()
    return request


def test_a_request_is_pending_until_it_is_answered(run: RunDirectory) -> None:
    requests = Requests()
    assert requests.ask(run, "checkpoint") is None
    assert requests.line(run).startswith("checkpoint asked 0 s ago")
    answer(run, "accepted")
    assert requests.poll() == []
    assert "accepted" in requests.line()
    answer(run, "done", step=6, checkpoint="step_00000006")
    (told,) = requests.poll()
    assert (told.text, told.good) == ("first: checkpoint done  step 6  checkpoint step_00000006", True)
    assert requests.line() == ""


def test_refusals_and_ends_are_told(run: RunDirectory) -> None:
    requests = Requests()
    requests.ask(run, "eval")
    answer(run, "refused", reason="there is no held-out text")
    assert [told.text for told in requests.poll()] == ["first: eval refused: there is no held-out text"]
    requests.ask(run, "pause")
    StatusFile(run.status).update(state="stopped")
    assert [told.text for told in requests.poll()] == ["first: pause failed: the run is stopped"]


def test_what_cannot_be_asked(run: RunDirectory) -> None:
    requests = Requests()
    with pytest.raises(UsageError, match="lr_scale must be a number of at least 0"):
        requests.ask(run, "set", {"lr_scale": -1})
    StatusFile(run.status).update(state="stopped")
    with pytest.raises(UsageError, match="pause: first is stopped; u goes on with it"):
        requests.ask(run, "pause")
    told = requests.ask(run, "set", {"lr_scale": 0.5})
    assert told is not None and "counts from where it is resumed" in told.text
    assert [record["arguments"] for record in read(run.control)] == [{"lr_scale": 0.5}]
    StatusFile(run.status).update(state="finished")
    with pytest.raises(UsageError, match="stop: first is finished$"):
        requests.ask(run, "stop")


def test_a_start_that_fails_says_why_in_the_command_s_words(tmp_path: Path) -> None:
    requests = Requests()
    requests.start("train nonesuch", ["train", "--detach", "--runs-dir", str(tmp_path), "nonesuch"])
    assert requests.line() == "train nonesuch…"
    deadline = time.monotonic() + 60
    while not (told := requests.poll()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert not told[0].good
    assert told[0].text.startswith("train nonesuch: ")
    assert "\n" not in told[0].text and "nonesuch" in told[0].text.partition(":")[2]


def test_keys_ask_and_the_heading_waits(run: RunDirectory) -> None:
    async def act(screen: RunScreen, pilot: Pilot[Any]) -> None:
        app = screen.app
        await pilot.press("p")
        await until(lambda: "pause asked" in text_of(app).splitlines()[1], pilot.pause)
        assert answer(run, "done", step=6)["command"] == "pause"
        StatusFile(run.status).update(state="paused")
        await until(lambda: "first: pause done" in said(app), pilot.pause)
        await until(lambda: "‖ paused" in text_of(app).splitlines()[0], pilot.pause)
        await pilot.press("p")
        await until(lambda: "unpause asked" in text_of(app), pilot.pause)
        answer(run, "refused", reason="no")
        await until(lambda: "unpause refused: no" in said(app), pilot.pause)
        await pilot.press("x", "n")
        await pilot.press("x", "y")
        await until(lambda: "stop asked" in text_of(app), pilot.pause)
        assert [record["command"] for record in read(run.control)] == ["pause", "unpause", "stop"]

    drive(run, act)


def test_settings_are_checked_before_they_are_sent(run: RunDirectory) -> None:
    async def act(screen: RunScreen, pilot: Pilot[Any]) -> None:
        app = screen.app
        await pilot.press("equals_sign")
        await until(lambda: "factor of every learning rate" in text_of(app), pilot.pause)
        app.screen.query_one(Input).value = "model.dim=3"
        await pilot.press("enter")
        await until(lambda: "model.dim cannot change while a run trains" in text_of(app), pilot.pause)
        app.screen.query_one(Input).value = "lr_scale=0.5 eval.every=20"
        await pilot.press("enter")
        await until(lambda: "set asked" in text_of(app), pilot.pause)
        assert [record["arguments"] for record in read(run.control)] == [{"lr_scale": 0.5, "eval.every": 20}]

    drive(run, act)


def test_a_second_word_to_resume_starts_nothing(run: RunDirectory) -> None:
    """Until the first one was answered."""
    StatusFile(run.status).update(state="stopped")

    async def act(screen: RunScreen, pilot: Pilot[Any]) -> None:
        await until(lambda: "■ stopped" in text_of(screen.app), pilot.pause)
        await pilot.press("u", "u")
        await until(lambda: "resume first: it is under way" in said(screen.app), pilot.pause)
        assert text_of(screen.app).count("resume first…") == 1
        await until(lambda: "resume first…" not in text_of(screen.app), pilot.pause)

    drive(run, act)


def test_a_run_that_trains_is_not_resumed_and_a_new_one_needs_a_configuration(run: RunDirectory) -> None:
    async def act(screen: RunScreen, pilot: Pilot[Any]) -> None:
        app = screen.app
        await pilot.press("u")
        await until(lambda: "resume: first is running" in said(app), pilot.pause)
        await pilot.press("escape")
        await until(lambda: app.screen is not screen, pilot.pause)
        await pilot.press("colon", "enter")
        await until(lambda: "a configuration is missing" in text_of(app), pilot.pause)
        app.screen.query_one(Input).value = "tiny-cpu --run 'x"
        await pilot.press("enter")
        await until(lambda: "No closing quotation" in text_of(app), pilot.pause)
        app.screen.query_one(Input).value = "nonesuch"
        await pilot.press("enter")
        await until(lambda: "train nonesuch: " in said(app) and text_of(app).startswith(" nanochat"), pilot.pause)

    drive(run, act)


@pytest.mark.slow
def test_a_training_started_stopped_and_resumed_from_the_dashboard(tmp_path: Path) -> None:
    """Nothing stands in for anything: the child process trains, answers, and goes on after the dashboard has closed."""

    async def session() -> None:
        app = Dashboard(tmp_path, seconds=0.1)
        async with app.run_test(size=(120, 30)) as pilot:
            await pilot.pause()
            await pilot.press("colon")
            words = "tiny-cpu --dataset synthetic --run x --set train.steps=100000 --set model.dim=32 --set train.batch_size=1"
            app.screen.query_one(Input).value = words
            await pilot.press("enter")
            run = RunDirectory(tmp_path / "x")
            for state in ("running", "stopped", "running"):
                await _until_state(app, pilot, state)
                if state == "running":
                    await pilot.press("x", "y")
                else:
                    await pilot.press("u")
            await _until_state(app, pilot, "stopped")
            assert [event["kind"] for event in read(run.events) if event["kind"] in ("started", "resumed")] == [
                "started",
                "resumed",
            ]

    asyncio.run(session())


async def _until_state(app: Dashboard, pilot: Pilot[Any], state: str) -> None:
    deadline = time.monotonic() + 240
    while not (app.runs_screen.listing.runs and app.runs_screen.listing.runs[0].state == state):
        assert time.monotonic() < deadline, (state, said(app))
        await pilot.pause()
        await asyncio.sleep(0.2)


def test_a_queued_run_is_shown_with_its_place_and_taken_out(tmp_path: Path) -> None:
    first = make_run(tmp_path, "first", state="running", step=5)
    second = make_run(tmp_path, "second", days=0)
    StatusFile(second.status).update(state="queued", waits_for=["zero", "first"])
    third = make_run(tmp_path, "third", days=0)
    StatusFile(third.status).update(state="queued", waits_for=["zero", "first", "second"])

    async def session() -> None:
        app = Dashboard(tmp_path)
        async with app.run_test(size=(120, 30)) as pilot:
            await until(lambda: "2. after first" in text_of(app), pilot.pause)
            assert [run.name for run in app.runs_screen.ordered()] == ["first", "second", "third"]
            await pilot.press("down", "p")
            await until(lambda: "pause asked" in text_of(app), pilot.pause)
            answer(second, "refused", reason="second has not begun")
            await until(lambda: "pause refused: second has not begun" in said(app), pilot.pause)
            await pilot.press("x")
            await until(lambda: "Take second out of the queue?" in text_of(app), pilot.pause)
            await pilot.press("y")
            await until(lambda: "stop asked" in text_of(app), pilot.pause)
            answer(second, "done")
            await until(lambda: "second: stop done" in said(app), pilot.pause)

    asyncio.run(session())
    assert first.control.exists() is False
