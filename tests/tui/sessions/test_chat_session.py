"""Talking to a model in a real terminal: keys that come in one piece, and a dashboard that is killed while it answers."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.tui.sessions.terminal import PATIENCE_SECONDS, Terminal, needs_tmux
from tests.tui.talked_to import ENDLESS, trained_on_text

pytestmark = needs_tmux


def processes(model: Path) -> list[Path]:
    """Processes that serve a model."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"--requests" in words and str(model).encode() in words:
            found.append(folder)
    return found


def test_a_talk_and_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("NANOCHAT_LOAD_PLUGINS", "")
    run = trained_on_text(tmp_path)
    model = run.checkpoints / "final"
    with Terminal(tmp_path, columns=80, rows=24) as terminal:
        terminal.start("tui", "--runs-dir", str(run.path.parent))
        terminal.wait("✓ finished")
        terminal.press("g")
        terminal.wait("Which model of first?")
        terminal.type("\r")
        terminal.wait("✓ ready")
        assert len(processes(model)) == 1
        terminal.press("C-s")
        terminal.wait("How text is drawn")
        terminal.type(f"{ENDLESS}\r")
        terminal.wait(lambda screen: f"max_tokens {ENDLESS}" in screen and "How text is drawn" not in screen)
        terminal.type("def f\r")  # in one piece: what is typed must be there before it is sent
        terminal.wait(lambda screen: "def f" in screen and "tokens/s" in screen.splitlines()[0])
        terminal.press("Escape")
        terminal.wait("stopped")
        terminal.type("class\r")
        terminal.wait(lambda screen: "tokens/s" in screen.splitlines()[0])
        terminal.kill()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while processes(model):
            assert time.monotonic() < deadline, "the model's process outlived the dashboard"
            time.sleep(0.1)
