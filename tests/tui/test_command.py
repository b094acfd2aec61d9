"""`nanochat tui` as a command: plain text, mistakes, what it imports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nanochat_framework import cli
from nanochat_framework.cli.external import external_commands, summary_of
from nanochat_tui import command
from tests.tui.run_folders import make_run


def test_plain_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(tmp_path, "one", step=500, metrics={"train/loss": 2.5})
    make_run(tmp_path, "two", state="failed", step=5)
    assert cli.main(["tui", "--plain", "--once", "--runs-dir", str(tmp_path), "--filter", "loss<3"]) == 0
    heading, header, row = capsys.readouterr().out.splitlines()
    assert heading.endswith("1 of 2 runs")
    assert header.split()[:4] == ["name", "state", "step", "loss"]
    assert row.split()[:6] == ["one", "✓", "finished", "████····", "500/1k", "2.5000"]


def test_plain_text_says_nothing_to_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path, "one", state="failed", tags=("good",))
    run.tags.write_text('["\\u001b]0;title\\u0007"]')
    run.path.rename(tmp_path / "one\x1b[2J")
    assert cli.main(["tui", "--plain", "--once", "--runs-dir", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "one␛[2J" in out and "␛]0;title␇" in out and "\x1b" not in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--filter", "lr>"], "filter: a value is missing"),
        (["--once"], "--once goes with --plain"),
        (["--plain", "--every", "0"], "--every 0: at least 0.1 seconds"),
        ([], "the dashboard needs a terminal; `nanochat tui --plain` prints lines of text"),
    ],
)
def test_mistakes(arguments: list[str], message: str, tmp_path: Path) -> None:
    command_line = [sys.executable, "-m", "nanochat_framework", "tui", "--runs-dir", str(tmp_path), *arguments]
    done = subprocess.run(command_line, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_list_of_commands_has_it() -> None:
    assert summary_of(external_commands()["tui"]) == command.HELP


def test_without_the_extra(tmp_path: Path) -> None:
    """One line; the terminal is real, so that only Textual is missing."""
    script = (
        "import os, pty, sys\n"
        "sys.modules['textual'] = None\n"
        "main, child = pty.openpty()\n"
        "sys.stdin = os.fdopen(child)\n"
        "sys.__stderr__ = os.fdopen(os.dup(child), 'w')\n"
        "from nanochat_framework import cli\n"
        "sys.exit(cli.main(['tui', '--runs-dir', sys.argv[1]]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "error: the dashboard needs the extra `tui`: pip install 'nanochat-framework[tui]'\n"


def test_neither_help_nor_plain_text_imports_textual(tmp_path: Path) -> None:
    for arguments in (["tui", "--help"], ["tui", "--plain", "--once", "--runs-dir", str(tmp_path)]):
        script = (
            f"import sys\nfrom nanochat_framework import cli\ncode = cli.main({arguments!r})\n"
            "assert code == 0\nassert not {'torch', 'numpy', 'textual'} & set(sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
