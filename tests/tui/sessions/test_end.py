"""A dashboard that is told to end from outside leaves the terminal as it found it."""

from __future__ import annotations

import json
import signal
from pathlib import Path

from tests.tui.run_folders import make_run
from tests.tui.sessions.terminal import Terminal, needs_tmux


@needs_tmux
def test_a_signal_to_end_gives_the_terminal_back(tmp_path: Path) -> None:
    """No picture stays, what is typed is shown again, and the layout is kept."""
    make_run(tmp_path / "runs", "first")
    with Terminal(tmp_path, columns=80, rows=24) as terminal:
        terminal.type(f"export XDG_STATE_HOME={tmp_path / 'state'}\r")
        terminal.start("tui")
        terminal.wait("✓ finished")
        terminal.press("s")
        terminal.wait("name▼")
        terminal.signal(signal.SIGTERM)
        terminal.wait(lambda screen: "finished" not in screen and screen.rstrip().endswith("$"))
        terminal.type("echo code $?; stty -a | tr ' ' '\\n' | grep echo$\r")
        screen = terminal.wait("echo\n")
        assert "code 143" in screen and "-echo" not in screen.splitlines()
    (kept,) = (tmp_path / "state").rglob("tui.json")
    assert json.loads(kept.read_bytes())["sort"] == "name"
