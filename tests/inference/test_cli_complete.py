"""`nanochat complete`: through a pipe, and at a terminal (a pseudo-terminal with a person who types and interrupts)."""

from __future__ import annotations

import io
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pytest

from nanochat_framework.cli import main
from nanochat_framework.config.run_config import RunConfig
from tests.conftest import REPOSITORY
from tests.inference.checkpoints import write_checkpoint

MakeConfig = Callable[..., RunConfig]
GRAY, NORMAL = "\x1b[90m", "\x1b[0m"
LONG, SHORT = "runs/long/checkpoints/final", "runs/short/checkpoints/final"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_config: MakeConfig) -> Path:
    """Has two models: contexts of 64 and of 20,000, more than anybody waits for."""
    folder = tmp_path_factory.mktemp("complete")
    write_checkpoint(folder / "runs/short/checkpoints", "final", tiny_config(model__vocab_size=608))
    long = tiny_config(model__vocab_size=608, model__max_seq_len=20_000)
    write_checkpoint(folder / "runs/long/checkpoints", "final", long)
    return folder


@pytest.fixture(autouse=True)
def inside(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the folder, with our own plugins."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("NANOCHAT_LOAD_PLUGINS", "")


def complete(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, typed: bytes, *options: str, code: int = 0
) -> tuple[str, str]:
    """stdout and stderr of a session through a pipe."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(typed)))
    assert main(["complete", SHORT, *options]) == code
    written = capsys.readouterr()
    return written.out, written.err


def generated(capsys: pytest.CaptureFixture[str], prompt: str, *options: str) -> str:
    """What `generate` writes."""
    assert main(["generate", SHORT, "--prompt", prompt, *options]) == 0
    return capsys.readouterr().out


def test_a_pipe_gets_the_completions_alone(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ["-m", "9", "-t", "1.5"]
    typed = b"import os\n###\ndef f(x):\r\n    return x\n\n###\n###\n\xff gr\xc3\xb6\xc3\x9fer"
    out, err = complete(capsys, monkeypatch, typed, *settings, "--seed", "4")
    prompts = ["import os", "def f(x):\n    return x\n", "", os.fsdecode(b"\xff gr\xc3\xb6\xc3\x9fer")]
    expected = [generated(capsys, text, *settings, "--seed", str(4 + n)) for n, text in enumerate(prompts)]
    assert out == "".join(expected) and err == ""


@pytest.mark.parametrize("word", ["exit", "quit", "  exit "])
def test_exit_words_leave_and_only_as_first_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    typed = f"a\n{word}\n###\n{word}\nnever\n###\n".encode()
    out, _ = complete(capsys, monkeypatch, typed, "-m", "5", "-t", "0")
    assert out == generated(capsys, f"a\n{word}", "-m", "5", "-t", "0")


def test_nothing_in_nothing_out(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert complete(capsys, monkeypatch, b"") == ("", "")


@pytest.mark.parametrize(
    ("typed", "options", "expected"),
    [
        (b"x", ["-t", "-1"], "--temperature must be 0"),
        (b"x", ["-m", "0"], "--max-tokens must be at least 1"),
        (b"x", ["--device-type", "tpu"], "invalid choice: 'tpu'"),
        (b"long " * 200, [], "the model reads at most 64"),
    ],
)
def test_refusals(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    typed: bytes,
    options: list[str],
    expected: str,
) -> None:
    out, err = complete(capsys, monkeypatch, typed, *options, code=2)
    assert out == "" and err.count("\n") == 1 and expected in err


class Terminal:
    """`nanochat complete` at a pseudo-terminal."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        import pty
        import termios

        master, slave = pty.openpty()
        modes = termios.tcgetattr(slave)
        modes[3] |= termios.NOFLSH  # or Ctrl-C throws away what is written behind it before it is read here
        termios.tcsetattr(slave, termios.TCSANOW, modes)
        settings = {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "TERM": "xterm", **environment}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "nanochat_framework", "complete", *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**{name: value for name, value in os.environ.items() if name != "NO_COLOR"}, **settings},
            start_new_session=True,
            preexec_fn=_take_terminal,
        )
        os.close(slave)
        self._master, self.seen = master, ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()  # it has ended, unless the test failed
        self.process.wait()

    def expect(self, text: str, seconds: float = 60.0) -> str:
        """Wait for a text; what came up to its end is taken away and returned."""
        deadline = time.monotonic() + seconds
        while text not in self.seen:
            ready, _, _ = select.select([self._master], [], [], max(deadline - time.monotonic(), 0))
            assert ready, f"{text!r} did not come; there is {self.seen[-2000:]!r}"
            self.seen += os.read(self._master, 65536).decode("utf-8", "replace").replace("\r\n", "\n")
        before, _, self.seen = self.seen.partition(text)
        return before + text

    def type(self, text: str) -> None:
        """As a person would; control characters included."""
        os.write(self._master, text.encode())

    def interrupt(self, *, at_prompt: bool) -> None:
        """Press Ctrl-C. At a prompt only once it waits for a key: a signal just before that is noticed at the next key."""
        if at_prompt:
            self._wait_for_sleep()
        self.type("\x03")

    def _wait_for_sleep(self, seconds: float = 60.0) -> None:
        stat, deadline = Path(f"/proc/{self.process.pid}/stat"), time.monotonic() + seconds
        if not stat.exists():
            time.sleep(0.5)
            return
        while stat.read_text().rpartition(")")[2].split()[0] != "S":
            assert time.monotonic() < deadline, "it does not wait for a key"
            time.sleep(0.01)

    def ends(self) -> int:
        """The exit code, once the rest of the output is read."""
        try:
            while True:
                ready, _, _ = select.select([self._master], [], [], 60)
                assert ready, "it does not end"
                chunk = os.read(self._master, 65536)
                if not chunk:
                    break
        except OSError:
            pass  # Linux's way of saying that the other side is closed
        os.close(self._master)
        return self.process.wait(60)


def _take_terminal() -> None:
    """In the child: the pseudo-terminal becomes the one that sends it signals."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="pseudo-terminals are a thing of Unix")
def test_a_session_at_a_terminal() -> None:
    options = ("--device-type", "cpu", "-m", "20000", "-t", "2", "--stop", "never said")
    with Terminal(LONG, *options) as terminal:
        terminal.expect("long: type a text, then ### on a line of its own")
        terminal.expect("> ")
        terminal.type("import os\n")
        terminal.expect("> ")
        terminal.type("import sys\n")
        terminal.expect("> ")
        terminal.type("###\n")
        terminal.expect(f"{GRAY}import os\nimport sys{NORMAL}")  # shown again in gray, before the completion
        terminal.interrupt(at_prompt=False)
        terminal.expect("[stopped]\n")
        terminal.expect("> ")
        terminal.type("half a tex")
        terminal.expect("half a tex")
        terminal.interrupt(at_prompt=True)  # what was typed on this line is forgotten, as a shell does
        terminal.expect("Ctrl-D or exit leaves")
        terminal.expect("> ")
        terminal.type("a line\n")
        terminal.expect("> ")
        terminal.interrupt(at_prompt=True)
        terminal.expect("forgotten")
        terminal.expect("> ")
        terminal.type("x" * 3000 + "\n")  # a terminal in line mode takes 4096 bytes at most
        terminal.expect("> ")
        terminal.type("###\n")
        terminal.expect(NORMAL)
        terminal.interrupt(at_prompt=False)
        terminal.expect("[stopped]\n")
        terminal.expect("> ")
        terminal.type("\x04")
        assert terminal.ends() == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="pseudo-terminals are a thing of Unix")
def test_a_terminal_without_colours_and_prompts_that_are_too_long() -> None:
    with Terminal(SHORT, "-m", "3", "-t", "0", NO_COLOR="1") as terminal:
        terminal.expect("> ")
        terminal.type("word " * 100 + "\n")
        terminal.expect("> ")
        terminal.type("###\n")
        terminal.expect("the model reads at most 64")
        terminal.expect("> ")
        terminal.type("def f\n")
        terminal.expect("> ")
        terminal.type("###\n")
        shown = terminal.expect("[3 tokens, ")
        assert "\ndef f" in shown and GRAY not in shown and NORMAL not in shown
        terminal.expect("ended by length]\n")
        terminal.expect("> ")
        terminal.type("exit\n")
        assert terminal.ends() == 0
