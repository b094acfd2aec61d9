"""A training is watched and steered through a dashboard that is killed on the way; nothing is lost."""

from __future__ import annotations

from pathlib import Path

from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.jsonlines import read
from nanochat_framework.runs.metrics import read_metrics
from nanochat_framework.runs.status import liveness
from tests.tui.sessions.runs import SMALL, answers, nanochat, nothing_left, status, wait_for, wait_for_step
from tests.tui.sessions.terminal import Terminal, needs_tmux


@needs_tmux
def test_a_run_is_steered_through_a_dashboard_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(SMALL)
    runs_dir = tmp_path / "runs"
    run = RunDirectory(runs_dir / "first")
    with nothing_left(runs_dir), Terminal(tmp_path) as terminal:
        nanochat(tmp_path, "train", "small.toml", "--run", "first", "--detach")
        wait_for_step(run, 3)
        terminal.start("tui")
        terminal.wait("● running")
        terminal.press("Enter")
        terminal.wait(lambda screen: "loss" in screen and "learning rate" in screen)

        terminal.press("p")
        terminal.wait("paused")
        held = status(run).step
        terminal.press("=")
        terminal.wait("KEY=VALUE")
        terminal.type("0.5")
        terminal.press("Enter")
        wait_for(lambda: ("set", "done") in answers(run), "the answer to set")
        assert status(run).step == held, "a paused run took a step"
        terminal.press("p")
        wait_for_step(run, held + 3)
        terminal.press("c")
        terminal.wait("checkpoint done")

        before = read_metrics(run.metrics)
        terminal.kill()
        wait_for_step(run, status(run).step + 3)
        assert liveness(status(run)) == "running"
        terminal.start("tui", "first")
        terminal.wait("● running")
        assert read_metrics(run.metrics)[: len(before)] == before

        terminal.press("x")
        terminal.wait("Stop first")
        terminal.press("y")
        terminal.wait("stopped")
        terminal.press("u")
        terminal.wait("● running")
        assert status(run).attempt == 2
        terminal.press("x")
        terminal.wait("Stop first")
        terminal.press("y")
        terminal.wait("stopped")
        terminal.press("q")
        terminal.wait(lambda screen: screen.rstrip().endswith("$"))
    assert answers(run) == [
        ("pause", "done"),
        ("set", "done"),
        ("unpause", "done"),
        ("checkpoint", "done"),
        ("stop", "done"),
        ("stop", "done"),
    ]
    (name,) = (name for name in before[0] if name.startswith("train/learning_rate/"))
    rates = {record["step"]: record[name] for record in before}
    (at,) = (
        event["step"] for event in read(run.events) if event.get("command") == "set" and event.get("answer") == "done"
    )
    assert rates[at + 1] == rates[at] / 2
