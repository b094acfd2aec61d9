"""The dashboard in a real terminal: keys go in through tmux, and the screen comes back as text."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pytest

PATIENCE_SECONDS = 120.0
"""Machines are shared; what a person waits a second for may take long."""
LOOK_SECONDS = 0.1

needs_tmux = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed: it is the terminal")


class Terminal:
    """A terminal with one program in it, on a tmux server of its own. Use it in a `with`."""

    def __init__(self, folder: Path, *, columns: int = 120, rows: int = 36) -> None:
        """`folder`: where the program runs, with the server's socket."""
        self.folder = folder
        self._tmux_command = ["tmux", "-S", str(folder / "tmux.socket"), "-f", os.devnull]
        self._size = ["-x", str(columns), "-y", str(rows)]
        self._transcript: list[str] = []

    def __enter__(self) -> Self:
        shell = "unset COLUMNS LINES; PS1='$ ' exec sh"
        self._tmux("new-session", "-d", *self._size, "-c", str(self.folder), "-e", "TERM=tmux-256color", shell)
        return self

    def __exit__(self, *_: object) -> None:
        self._tmux("kill-server", check=False)

    def _tmux(self, *arguments: str, check: bool = True) -> str:
        done = subprocess.run([*self._tmux_command, *arguments], check=check, capture_output=True, text=True)
        return done.stdout

    def start(self, *arguments: str) -> None:
        """Type `nanochat ARGUMENTS` at the shell."""
        words = shlex.join([sys.executable, "-m", "nanochat_framework", *arguments])
        self._tmux("send-keys", "-l", words)
        self._tmux("send-keys", "Enter")

    def press(self, *keys: str) -> None:
        """Press keys by tmux's names (`Enter`, `Escape`, `Space`, `C-p`, `a`)."""
        for key in keys:
            self._tmux("send-keys", key)

    def type(self, text: str) -> None:
        """Type a text."""
        self._tmux("send-keys", "-l", text)

    def screen(self) -> str:
        """What is to be seen, without colours."""
        return self._tmux("capture-pane", "-p")

    def wait(self, wanted: str | Callable[[str], object], seconds: float = PATIENCE_SECONDS) -> str:
        """The screen as soon as it has a text, or is as wanted. Fails with what is there instead."""
        deadline = time.monotonic() + seconds
        while True:
            screen = self.screen()
            if wanted in screen if isinstance(wanted, str) else wanted(screen):
                return screen
            if time.monotonic() > deadline:
                pytest.fail(f"the screen does not show {wanted!r} after {seconds:g} s:\n{screen}")
            time.sleep(LOOK_SECONDS)

    def resize(self, columns: int, rows: int) -> None:
        """Give the terminal another size."""
        self._tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program that the shell has started, and to nothing else."""
        shell = int(self._tmux("display-message", "-p", "#{pane_pid}"))
        children = Path(f"/proc/{shell}/task/{shell}/children").read_text().split()
        assert len(children) == 1, children
        os.kill(int(children[0]), number)

    def kill(self) -> None:
        """`kill -9`, and bring the terminal back to its senses."""
        self.signal(signal.SIGKILL)
        self.wait("Killed")
        self._tmux("send-keys", "-l", "stty sane; reset; clear")
        self._tmux("send-keys", "C-j")  # the terminal is still raw: Enter would be no end of a line
        self.wait(lambda screen: screen.strip() == "$")
