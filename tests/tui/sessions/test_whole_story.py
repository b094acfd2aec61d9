"""From the form to the finished file, at a terminal: a `tiny-cpu` that nobody touches but through the dashboard."""

from __future__ import annotations

import asyncio as a_package
import email as another
import json as a_third
import re
import time
from pathlib import Path

from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.status import liveness
from tests.tui.sessions.runs import nanochat, nothing_left, status, wait_for, wait_for_step
from tests.tui.sessions.terminal import Terminal, needs_tmux

SETTINGS = {
    "train.steps": "100000",
    "train.batch_size": "1",
    "data.seq_len": "32",
    "hardware.threads": "1",
    "eval.every": "0",
}
"""What makes a step short; everything else is the preset's."""


def prepare_data(folder: Path) -> None:
    """`data/`, as the preset wants it, from some of Python's standard library."""
    sources = [str(Path(package.__file__ or "").parent) for package in (a_package, another, a_third)]
    nanochat(folder, "prepare-data", "--text", *sources, "--vocab-size", "4096", "--output", "data")


def fill_in_the_form(terminal: Terminal, name: str) -> None:
    """From all runs: `tiny-cpu` with SETTINGS, under that name."""
    terminal.press("n")
    terminal.wait("tiny-cpu")
    terminal.type("tiny-cpu")
    terminal.press("Enter")
    terminal.wait("✓ well")
    change(terminal, name)
    terminal.wait(f"--run {name}")
    for key, value in SETTINGS.items():
        terminal.press("/")
        terminal.wait("Find or add a setting")
        terminal.type(key)
        terminal.wait(f" {key}  ")
        terminal.press("Enter")
        terminal.wait(lambda screen, key=key: "Find or add" not in screen and f"\n {key}   " in screen)
        change(terminal, value)
        terminal.wait(f"--set {key}={value}")
    terminal.wait("✓ well")


def change(terminal: Terminal, value: str) -> None:
    """Give the setting under the cursor a value, at the pace of a person who looks at the screen."""
    terminal.press("Enter")
    terminal.wait(typing)
    old = terminal.screen().splitlines()[-2]
    if not old.strip().startswith("run name"):  # which has no value yet
        terminal.press("C-u")
        terminal.wait(lambda screen: screen.splitlines()[-2] != old)
    terminal.type(value)
    terminal.press("Enter")
    terminal.wait(lambda screen: not typing(screen))


def typing(screen: str) -> bool:
    """Whether the line to type in is there, just above the keys."""
    return bool(screen.rstrip("\n").splitlines()[-2].strip())


@needs_tmux
def test_launch_fork_compare_export_and_chat(tmp_path: Path) -> None:
    prepare_data(tmp_path)
    runs_dir = tmp_path / "runs"
    first, lower = RunDirectory(runs_dir / "first"), RunDirectory(runs_dir / "lower")
    with nothing_left(runs_dir), Terminal(tmp_path) as terminal:
        terminal.start("tui", "--fresh")
        terminal.wait("n new run")
        fill_in_the_form(terminal, "first")
        terminal.press("s")
        terminal.wait("● running")
        wait_for_step(first, 5)

        terminal.press("x")
        terminal.wait("Stop first")
        terminal.press("y")
        wait_for(lambda: liveness(status(first)) == "stopped", "first has stopped")
        end = status(first).step
        terminal.wait("stopped")

        terminal.press("f")
        terminal.wait("A run that goes on from first")
        terminal.press("Tab")
        terminal.wait("KEY=VALUE")
        terminal.type("schedule.warmup_steps=1")
        terminal.press("Tab")
        terminal.wait("Of the new run")
        terminal.type("lower")
        terminal.press("Enter")
        terminal.wait(lambda screen: "A run that goes on" not in screen)
        wait_for_step(lower, end + 5)

        terminal.wait("● running")
        terminal.press("C-Home")
        time.sleep(1.0)  # no text says where the cursor is
        terminal.press("Space")
        terminal.wait("1 marked")
        terminal.press("Space")
        terminal.wait("2 marked")
        terminal.press("C")
        terminal.wait("compare 2 runs")
        terminal.press("2")
        terminal.wait("schedule.warmup_steps")
        terminal.press("Escape")
        terminal.wait("n new run")

        terminal.press("C-Home")
        time.sleep(1.0)
        terminal.press("x")
        terminal.wait("Stop lower")
        terminal.press("y")
        wait_for(lambda: liveness(status(lower)) == "stopped", "lower has stopped")

        terminal.press("k")
        terminal.wait(lambda screen: "checkpoints of lower" in screen and "whole" in screen)
        terminal.press("E")
        terminal.wait("gguf")
        terminal.press("Enter")
        terminal.wait("first-" if "first-" in terminal.screen() else ".gguf")
        terminal.press("Enter")
        terminal.wait(lambda screen: "bytes)" in screen)
        (written,) = tmp_path.glob("*.gguf")
        assert written.read_bytes()[:4] == b"GGUF"
        terminal.press("Enter", "Escape")
        terminal.wait("n new run")

        terminal.press("g")
        terminal.wait("Which model of lower?")
        terminal.press("Enter")
        terminal.wait("✓ ready")
        terminal.type("import os")
        terminal.press("Enter")
        terminal.wait(lambda screen: re.search(r"prompt \d+  seed 0  ", screen) is not None)
        terminal.press("Escape")
        terminal.wait("n new run")
        terminal.press("q")
        terminal.wait(lambda screen: screen.rstrip().endswith("$"))
    assert lower.info()["parent"].startswith("first/")
